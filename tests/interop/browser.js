// Controls the system's Chromium in headless mode over a pipe, without a library or a port.
// Chromium ends with this process.
'use strict';

const { spawn, execFileSync } = require('node:child_process');
const { mkdtempSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const TIMEOUT_MS = 30_000;

function installed() {
  const found = NAMES.find((name) => {
    try {
      execFileSync('sh', ['-c', `command -v ${name}`]);
      return true;
    } catch {
      return false;
    }
  });
  if (!found) throw new Error('Chromium is not installed; tests/run does it');
  return found;
}

class Page {
  // Keeps its profile below `folder`, which the test removes, also after this process was killed.
  constructor(folder) {
    const flags = [
      '--headless=new', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--hide-scrollbars', '--window-size=1280,800',
      `--user-data-dir=${mkdtempSync(join(folder, 'chromium-'))}`,
    ];
    this.child = spawn(installed(), flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    this.waiting = new Map();
    this.next = 1;
    this.received = '';
    this.child.stdio[4].setEncoding('utf8').on('data', (text) => this.receive(text));
    process.on('exit', () => this.child.kill('SIGKILL'));
  }

  receive(text) {
    const messages = (this.received + text).split('\0');
    this.received = messages.pop();
    for (const message of messages.map((text) => JSON.parse(text))) {
      const { done, failed } = this.waiting.get(message.id) ?? {};
      this.waiting.delete(message.id);
      if (message.error) failed?.(new Error(message.error.message));
      else done?.(message.result);
    }
  }

  send(method, params = {}) {
    const id = this.next++;
    this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: this.session })}\0`);
    return new Promise((done, failed) => {
      this.waiting.set(id, { done, failed });
      setTimeout(() => failed(new Error(`the browser did not answer ${method}`)), TIMEOUT_MS).unref();
    });
  }

  async attach() {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    this.session = (await this.send('Target.attachToTarget', { targetId, flatten: true })).sessionId;
    const metrics = { width: 1280, height: 800, deviceScaleFactor: 1, mobile: false };
    await this.send('Emulation.setDeviceMetricsOverride', metrics);
    await this.send('Page.enable');
  }

  go(url) {
    return this.send('Page.navigate', { url });
  }

  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  // Returns the visible text of the page.
  text() {
    return this.evaluate("document.body?.innerText ?? ''");
  }

  async until(text) {
    const end = Date.now() + TIMEOUT_MS;
    while (!(await this.text()).includes(text)) {
      if (Date.now() > end) throw new Error(`the page does not contain "${text}" but: ${await this.text()}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  // Returns the positions of the clickable elements that fulfil a condition on the element
  // `it` and its name.
  positions(condition) {
    return this.evaluate(`(() => {
      const name = (it) => [it.innerText, it.title, it.ariaLabel].map((text) => (text ?? '').trim()).find(Boolean) ?? '';
      const all = [...document.querySelectorAll('button, a, [role=menuitem], [role=tab]')].filter((it) => !it.disabled);
      return all.filter((it) => ${condition}).map((it) => {
        const { x, y, width, height } = it.getBoundingClientRect();
        return { x: x + width / 2, y: y + height / 2 };
      });
    })()`);
  }

  mouse(type, position) {
    return this.send('Input.dispatchMouseEvent', { type, ...position, button: type === 'mouseMoved' ? 'none' : 'left', clickCount: 1 });
  }

  // Returns the position of the element whose tooltip is `name`.
  async positionByTooltip(name) {
    const isShown = `[...document.querySelectorAll('*')].some((it) => !it.childElementCount && it.textContent.trim() === ${JSON.stringify(name)})`;
    for (const position of await this.positions("name(it) === ''")) {
      await this.mouse('mouseMoved', position);
      for (let tries = 0; tries < 6; tries++) {
        if (await this.evaluate(isShown)) return position;
        await new Promise((done) => setTimeout(done, 100));
      }
    }
    return undefined;
  }

  // Clicks the element with the given text, title, label or tooltip.
  async click(name) {
    const end = Date.now() + TIMEOUT_MS;
    let position;
    while (!(position = (await this.positions(`name(it) === ${JSON.stringify(name)}`))[0] ?? (await this.positionByTooltip(name)))) {
      if (Date.now() > end) throw new Error(`no element of the page is called "${name}": ${await this.text()}`);
      await new Promise((done) => setTimeout(done, 50));
    }
    for (const type of ['mouseMoved', 'mousePressed', 'mouseReleased']) await this.mouse(type, position);
  }

  async picture(file) {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png' });
    writeFileSync(file, Buffer.from(data, 'base64'));
  }

  close() {
    const exited = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGKILL');
    return exited;
  }
}

exports.open = async function open(folder) {
  const page = new Page(folder);
  await page.attach();
  return page;
};
