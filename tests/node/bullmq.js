// BullMQ's own Node library and Bull Board, for the queues of a Redis server.
'use strict';

const { Queue, QueueEvents, Worker, FlowProducer } = require('bullmq');
const { Redis } = require('ioredis');
const { board } = require('./board');

const connection = { host: '127.0.0.1', maxRetriesPerRequest: null };
const instances = new Map();
const seen = [];
const taken = [];

function once(key, create) {
  if (!instances.has(key)) instances.set(key, create());
  return instances.get(key);
}

function queue(name) {
  return once(`queue ${name}`, () => new Queue(name, { connection }));
}

function shown(job) {
  const { id, name, data, progress, failedReason, attemptsMade, returnvalue, priority, opts } = job;
  return { id, name, data, progress, failedReason, attemptsMade, returnvalue, priority, opts };
}

async function job(request) {
  const found = await queue(request.queue).getJob(request.job);
  if (!found) throw new Error(`there is no job ${request.job}`);
  return found;
}

async function listen(request) {
  const events = new QueueEvents(request.queue, { connection });
  instances.set(`events ${request.queue}`, events);
  for (const name of ['added', 'waiting', 'active', 'progress', 'completed', 'failed', 'delayed', 'paused', 'resumed', 'drained']) {
    events.on(name, (event) => seen.push({ queue: request.queue, event: name, ...event }));
  }
  await events.waitUntilReady();
}

// Starts a worker that completes jobs without running them, or keeps them active until the
// process dies.
async function work(request) {
  const worker = new Worker(
    request.queue,
    async (job) => {
      taken.push(job.id);
      if (request.hold) await new Promise(() => {});
      if (taken.length >= request.max) worker.pause(true);
      return 'completed without running';
    },
    { connection, concurrency: request.concurrency ?? 1, lockDuration: 2000, stalledInterval: 1000 },
  );
  instances.set(`worker ${request.queue}`, worker);
  worker.on('error', () => {});
  await worker.waitUntilReady();
}

const verbs = {
  counts: (request) => queue(request.queue).getJobCounts(),
  jobs: async (request) => (await queue(request.queue).getJobs(request.states, 0, 10_000)).filter(Boolean).map(shown),
  // The state first: a job in it has what comes with the state, such as the reason of a failure.
  job: async (request) => {
    const state = await (await job(request)).getState();
    return { ...shown(await job(request)), state };
  },
  logs: async (request) => (await queue(request.queue).getJobLogs(request.job)).logs,
  pause: (request) => queue(request.queue).pause(),
  resume: (request) => queue(request.queue).resume(),
  workers: async (request) => (await queue(request.queue).getWorkers()).map(({ name, rawname }) => rawname ?? name),
  paused: (request) => queue(request.queue).isPaused(),
  listen,
  seen: async () => seen,
  add: async (request) => (await queue(request.queue).add(request.name ?? 'generate', request.data, request.opts)).id,
  bulk: async (request) => (await queue(request.queue).addBulk(request.jobs)).length,
  // Replaces a job with another one of the same id.
  replace: async (request) => {
    const found = await queue(request.queue).getJob(request.job);
    if (found) await found.remove();
    await queue(request.queue).add('generate', request.data, { ...request.opts, jobId: request.job });
    return shown(await job(request));
  },
  schedule: (request) => queue(request.queue).upsertJobScheduler(request.scheduler, request.repeat, request.template).then(() => null),
  unschedule: (request) => queue(request.queue).removeJobScheduler(request.scheduler),
  flow: async (request) => (await once('flows', () => new FlowProducer({ connection })).add(request.flow)).job.id,
  finished: async (request) => {
    const events = instances.get(`events ${request.queue}`);
    return (await job(request)).waitUntilFinished(events, 30_000).then(
      (value) => ({ completed: value }),
      (error) => ({ failed: error.message }),
    );
  },
  work: async (request) => work(request),
  taken: async () => taken,
  leave: (request) => instances.get(`worker ${request.queue}`).close(),
  raw: (request) => once('redis', () => new Redis(connection)).call(...request.words),
  board: async (request) => (await once('board', () => board(request.queues.map(queue)))).url,
};

// Returns the commands for the queues of the server on `port`.
exports.verbs = (port) => {
  connection.port = port;
  return verbs;
};
