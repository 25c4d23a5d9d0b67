// The counterpart of benches/bullmq.rs: the same work by BullMQ and pg, as their documentation advises.
//
//   node benches/bullmq.js CASE '{"redis": PORT, "postgres": "URL", "prefix": "…", …}'
//
// Says one line of JSON: milliseconds. The modules are those of tests/interop.

const { randomBytes, randomUUID } = require('node:crypto');
const path = require('node:path');
const modules = path.join(__dirname, '../tests/interop/node_modules');
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

const queue = () => new Queue(NAME, { connection, prefix: given.prefix, defaultJobOptions: usual });

function worker(concurrency, process) {
  const worker = new Worker(NAME, process, { connection, prefix: given.prefix, concurrency, autorun: false });
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

const LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const code = given.alone ? randomUUID : () => Array.from(randomBytes(26), (byte) => LETTERS[byte & 31]).join('');

/** One statement for a chunk of `size` rows. */
function insert(size) {
  if (given.arrays) {
    const text = 'INSERT INTO items (batch, ordinal, code) SELECT $1, * FROM unnest($2::bigint[], $3::text[])';
    return (first, codes) => ({ name: 'chunk', text, values: [1, codes.map((_, at) => first + at), codes] });
  }
  const rows = Array.from({ length: size }, (_, at) => `($1, $${2 * at + 2}, $${2 * at + 3})`);
  const text = `INSERT INTO items (batch, ordinal, code) VALUES ${rows.join(', ')}`;
  return (first, codes) => ({ name: 'chunk', text, values: [1, ...codes.flatMap((code, at) => [first + at, code])] });
}

const cases = {
  /** From the first job added to the last one completed. */
  async end({ items, size, chunk, concurrency }) {
    const database = new Pool({ connectionString: given.postgres, max: concurrency, options: `-c search_path=${given.schema}` });
    await database.query('SELECT 1');
    const [jobs, statement] = [queue(), insert(chunk)];
    const works = worker(concurrency, async (job) => {
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
    return performance.now() - began;
  },

  /** From the start of a worker that does nothing with its jobs to the last of them. */
  async queue({ jobs: count, concurrency }) {
    const jobs = queue();
    await add(jobs, count, 1);
    const works = worker(concurrency, async () => {});
    await works.waitUntilReady();
    const all = done(works, count);
    const began = performance.now();
    works.run();
    await all;
    return performance.now() - began;
  },

  /** From an add to the start of its job, again and again. */
  async start({ times }) {
    let started;
    const jobs = queue();
    const works = worker(1, async () => started(performance.now()));
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
    return took;
  },
};

cases[process.argv[2]](given).then((milliseconds) => {
  console.log(JSON.stringify(milliseconds));
  process.exit(0);
}, (error) => {
  console.error(error);
  process.exit(1);
});
