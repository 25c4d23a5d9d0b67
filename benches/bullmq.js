// The counterpart of benches/bullmq.rs: the same work by BullMQ and pg, as their documentation
// advises.
//
//   node benches/bullmq.js CASE '{"redis": PORT, "postgres": "URL", "prefix": "…", …}'
//
// Prints one line of JSON, with milliseconds. A small run of the same case goes before, in a prefix
// and a table of its own, so that the measured code is compiled. The modules are those of
// tests/node.

const { randomBytes, randomUUID } = require('node:crypto');
const path = require('node:path');
const modules = path.join(__dirname, '../tests/node/node_modules');
const { Queue, Worker } = require(path.join(modules, 'bullmq'));
const { Pool } = require(path.join(modules, 'pg'));

const NAME = 'generate-product-batch-items';
const given = JSON.parse(process.argv[3]);
const connection = { host: '127.0.0.1', port: given.redis, maxRetriesPerRequest: null };
const usual = {
  attempts: 3,
  backoff: { type: 'exponential', delay: 1000 },
  removeOnComplete: { count: 10 },
  removeOnFail: { count: 5 },
};

const queue = (prefix) => new Queue(NAME, { connection, prefix, defaultJobOptions: usual });

function worker(prefix, concurrency, process) {
  const worker = new Worker(NAME, process, { connection, prefix, concurrency, autorun: false });
  worker.on('error', (error) => { throw error; });
  worker.on('failed', (job, error) => { throw error; });
  return worker;
}

/** Resolves when so many jobs were completed. */
function done(worker, jobs) {
  return new Promise((resolve) => worker.on('completed', () => { if (--jobs === 0) resolve(); }));
}

/** Adds jobs of `size` items for `items` items in all, some at a time; early ones have priority. */
async function add(queue, items, size) {
  const jobs = [];
  for (let seq = 0; seq * size < items; seq++) {
    const data = { v: 1, batch: 1, seq, first: seq * size, quantity: size, generation: 0 };
    jobs.push({ name: 'generate', data, opts: { jobId: `b1-j${seq}-g0`, priority: seq + 1 } });
  }
  for (let at = 0; at < jobs.length; at += 500) await queue.addBulk(jobs.slice(at, at + 500));
  return jobs.length;
}

// As long as ours.
const code = given.alone ? randomUUID : () => randomBytes(13).toString('hex');

/** One statement for a chunk of `size` rows of `table`. */
function insert(table, size) {
  if (given.arrays) {
    const text = `INSERT INTO ${table} (batch, ordinal, code) SELECT $1, * FROM unnest($2::bigint[], $3::text[])`;
    return (first, codes) => ({ name: 'chunk', text, values: [1, codes.map((_, at) => first + at), codes] });
  }
  const rows = Array.from({ length: size }, (_, at) => `($1, $${2 * at + 2}, $${2 * at + 3})`);
  const text = `INSERT INTO ${table} (batch, ordinal, code) VALUES ${rows.join(', ')}`;
  return (first, codes) => ({ name: 'chunk', text, values: [1, ...codes.flatMap((code, at) => [first + at, code])] });
}

const cases = {
  /** From the first job added to the last one completed. */
  async end({ prefix, table, items, size, chunk, concurrency }) {
    const database = new Pool({ connectionString: given.postgres, max: concurrency, options: `-c search_path=${given.schema}` });
    await database.query('SELECT 1');
    const [jobs, statement] = [queue(prefix), insert(table, chunk)];
    const works = worker(prefix, concurrency, async (job) => {
      const { first, quantity } = job.data;
      for (let made = 0; made < quantity; made += chunk) {
        await database.query(statement(first + made, Array.from({ length: chunk }, code)));
        await job.updateProgress(Math.floor(((made + chunk) * 100) / quantity));
      }
    });
    await Promise.all([jobs.waitUntilReady(), works.waitUntilReady()]);
    const all = done(works, items / size);
    works.run();
    const began = performance.now();
    await add(jobs, items, size);
    await all;
    const took = performance.now() - began;
    await Promise.all([works.close(), jobs.close(), database.end()]);
    return took;
  },

  /** From the start of a worker that does nothing with its jobs to the last of them. */
  async queue({ prefix, jobs: count, concurrency }) {
    const jobs = queue(prefix);
    await add(jobs, count, 1);
    const works = worker(prefix, concurrency, async () => {});
    await works.waitUntilReady();
    const all = done(works, count);
    const began = performance.now();
    works.run();
    await all;
    const took = performance.now() - began;
    await Promise.all([works.close(), jobs.close()]);
    return took;
  },

  /** From an add to the start of its job, again and again. */
  async start({ prefix, times }) {
    let started;
    const jobs = queue(prefix);
    const works = worker(prefix, 1, async () => started(performance.now()));
    await Promise.all([jobs.waitUntilReady(), works.waitUntilReady()]);
    works.run();
    const took = [];
    for (let time = 0; time < times; time++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const start = new Promise((resolve) => { started = resolve; });
      const began = performance.now();
      const data = { v: 1, batch: 1, seq: time, first: time, quantity: 1, generation: 0 };
      await jobs.add('generate', data, { jobId: `b1-j${time}-g0`, priority: time + 1 });
      took.push((await start) - began);
    }
    await Promise.all([works.close(), jobs.close()]);
    return took;
  },
};

/** A tenth of everything. */
async function warmUp(measure) {
  const { schema, items, jobs, times } = given;
  if (schema) {
    const database = new Pool({ connectionString: given.postgres });
    await database.query(`CREATE TABLE ${schema}.warm (LIKE ${schema}.items INCLUDING ALL)`);
    await database.end();
  }
  await measure({ ...given, prefix: `${given.prefix}-warm`, table: 'warm', items: items / 10, jobs: jobs / 10, times: times / 10 });
}

async function main() {
  const measure = cases[process.argv[2]];
  await warmUp(measure);
  return measure({ ...given, table: 'items' });
}

main().then((milliseconds) => {
  console.log(JSON.stringify(milliseconds));
  process.exit(0);
}, (error) => {
  console.error(error);
  process.exit(1);
});
