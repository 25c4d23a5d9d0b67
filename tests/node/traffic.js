// Counts what a page transfers and how long its scripts run.
'use strict';

exports.countTraffic = async function countTraffic(page) {
  const client = await page.createCDPSession();
  const requests = new Map();
  let events = 0;
  client.on('Network.responseReceived', ({ requestId, response }) => {
    requests.set(requestId, { url: response.url, status: response.status, type: response.mimeType, bytes: 0 });
  });
  client.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const request = requests.get(requestId);
    if (request) request.bytes = encodedDataLength;
  });
  client.on('Network.dataReceived', ({ requestId }) => {
    if (requests.get(requestId)?.type === 'text/event-stream') events += 1;
  });
  await client.send('Network.enable');
  // Time of the processor: other processes don't count.
  await client.send('Performance.enable', { timeDomain: 'threadTicks' });
  return {
    client,
    // The events of streams so far. The host sends each in a piece of its own.
    events: () => events,
    // The responses so far, with the bytes that each took on the wire, headers included.
    responses: () => [...requests.values()],
    // The seconds that scripts ran on the main thread.
    scriptTime: async () => {
      const { metrics } = await client.send('Performance.getMetrics');
      return metrics.find(({ name }) => name === 'ScriptDuration').value;
    },
  };
};
