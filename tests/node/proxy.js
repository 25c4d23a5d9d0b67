// A reverse proxy that serves an app below a path of its own, and removes that path from requests.
'use strict';

const http = require('node:http');

// Returns the address of the app behind the proxy.
exports.proxy = async function proxy(to, prefix) {
  const server = http.createServer((request, response) => {
    if (!request.url.startsWith(`${prefix}/`)) {
      response.writeHead(404).end();
      return;
    }
    const { method, headers } = request;
    const upstream = http.request(to + request.url.slice(prefix.length), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return `http://127.0.0.1:${server.address().port}${prefix}`;
};
