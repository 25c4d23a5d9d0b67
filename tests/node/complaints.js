// Collects what must not happen on a page: errors and warnings in the console, exceptions, dialogs,
// violations of the content security policy, and requests to another origin.
'use strict';

// Returns a function that returns the lines so far.
exports.collectComplaints = async function collectComplaints(page) {
  const lines = [];
  let origin;
  page.on('console', (message) => {
    const where = message.location().url ?? '';
    if (['error', 'warn', 'assert'].includes(message.type())) lines.push(`console: ${message.text()} ${where}`);
  });
  page.on('pageerror', (error) => lines.push(`exception: ${error?.stack ?? error}`));
  page.on('dialog', async (dialog) => {
    lines.push(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  page.on('request', (request) => {
    const { protocol, origin: to } = new URL(request.url());
    if (request.isNavigationRequest() && request.frame() === page.mainFrame()) origin ??= to;
    if (protocol.startsWith('http') && to !== origin) lines.push(`another origin: ${request.url()}`);
  });
  await page.exposeFunction('reportViolation', (violation) => lines.push(`content security policy: ${violation}`));
  await page.evaluateOnNewDocument(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      const { violatedDirective, blockedURI, sourceFile, lineNumber } = event;
      globalThis.reportViolation(`${violatedDirective} ${blockedURI} ${sourceFile}:${lineNumber}`);
    });
  });
  return () => lines;
};
