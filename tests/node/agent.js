// Executes the commands of a test: reads one JSON request per line from standard input, and writes
// one JSON answer per line to standard output.
//
//   {"id": 1, "do": "counts", "queue": "generate-product-batch-items"}
//   {"id": 1, "ok": {...}}  or  {"id": 1, "error": "..."}
//
//   node agent.js FOLDER [REDIS_PORT]
//
// FOLDER takes the profile of a browser. Commands for queues need the port. Ends with its standard
// input. The test has a timeout for each answer.
'use strict';

const { createInterface } = require('node:readline');
const browser = require('./browser');
const { proxy } = require('./proxy');

const [folder, port] = process.argv.slice(2);

const verbs = {
  ...(port ? require('./bullmq').verbs(Number(port)) : {}),
  ...browser.verbs(folder),
  proxy: (request) => proxy(request.to, request.prefix),
  sql: async (request) => {
    const { Client } = require('pg');
    const client = new Client({ connectionString: request.url });
    await client.connect();
    try {
      return (await client.query(request.sql, request.values)).rows;
    } finally {
      await client.end();
    }
  },
};

async function answer(line) {
  const request = JSON.parse(line);
  try {
    const ok = await verbs[request.do](request);
    process.stdout.write(`${JSON.stringify({ id: request.id, ok: ok ?? null })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ id: request.id, error: String(error.message ?? error) })}\n`);
  }
}

createInterface({ input: process.stdin }).on('line', answer).on('close', async () => {
  await browser.close();
  process.exit(0);
});
