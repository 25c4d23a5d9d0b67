// Serves Bull Board for the given queues on a free port.
'use strict';

const express = require('express');
const { createBullBoard } = require('@bull-board/api');
const { BullMQAdapter } = require('@bull-board/api/bullMQAdapter');
const { ExpressAdapter } = require('@bull-board/express');

exports.board = async function board(queues) {
  const server = new ExpressAdapter();
  createBullBoard({ queues: queues.map((queue) => new BullMQAdapter(queue)), serverAdapter: server });
  const app = express();
  app.use('/', server.getRouter());
  const listening = await new Promise((done) => {
    const it = app.listen(0, '127.0.0.1', () => done(it));
  });
  return { url: `http://127.0.0.1:${listening.address().port}` };
};
