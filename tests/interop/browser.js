// The system's Chromium without a window, driven over its own pipe: no library, no port, and it ends with this process.
'use strict';

const { spawn, execFileSync } = require('node:child_process');
const { mkdtempSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const PATIENCE = 30_000;

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
  // Its profile is below `folder`, which whoever started us removes, also when we are killed.
  constructor(folder) {
    const flags = [
      '--headless=new', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--hide-scrollbars', '--window-size=1280,800',
      `--user-data-dir=${mkdtempSync(join(folder, 'chromium-'))}`,
    ];
    this.child = spawn(installed(), flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    this.waiting = new Map();
    this.next = 1;
    this.heard = '';
    this.child.stdio[4].setEncoding('utf8').on('data', (text) => this.hear(text));
    process.on('exit', () => this.child.kill('SIGKILL'));
  }

  hear(text) {
    const messages = (this.heard + text).split('\0');
    this.heard = messages.pop();
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
      setTimeout(() => failed(new Error(`the browser did not answer ${method}`)), PATIENCE).unref();
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

  // What a reader sees, names of buttons that are pictures included.
  text() {
    return this.evaluate("document.body?.innerText ?? ''");
  }

  async until(text) {
    const end = Date.now() + PATIENCE;
    while (!(await this.text()).includes(text)) {
      if (Date.now() > end) throw new Error(`the page does not say "${text}" but: ${await this.text()}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  // Where the things are that can be pressed and fulfil a condition on `it`, and on its name.
  places(condition) {
    return this.evaluate(`(() => {
      const name = (it) => [it.innerText, it.title, it.ariaLabel].map((text) => (text ?? '').trim()).find(Boolean) ?? '';
      const all = [...document.querySelectorAll('button, a, [role=menuitem], [role=tab]')].filter((it) => !it.disabled);
      return all.filter((it) => ${condition}).map((it) => {
        const { x, y, width, height } = it.getBoundingClientRect();
        return { x: x + width / 2, y: y + height / 2 };
      });
    })()`);
  }

  mouse(type, place) {
    return this.send('Input.dispatchMouseEvent', { type, ...place, button: type === 'mouseMoved' ? 'none' : 'left', clickCount: 1 });
  }

  // The place of the picture whose tooltip says `name` when the mouse is there.
  async hinted(name) {
    const says = `[...document.querySelectorAll('*')].some((it) => !it.childElementCount && it.textContent.trim() === ${JSON.stringify(name)})`;
    for (const place of await this.places("name(it) === ''")) {
      await this.mouse('mouseMoved', place);
      for (let tries = 0; tries < 6; tries++) {
        if (await this.evaluate(says)) return place;
        await new Promise((done) => setTimeout(done, 100));
      }
    }
    return undefined;
  }

  // Presses what is called so: by its words, its title, its label or its tooltip, with the mouse, where it is.
  async click(name) {
    const end = Date.now() + PATIENCE;
    let place;
    while (!(place = (await this.places(`name(it) === ${JSON.stringify(name)}`))[0] ?? (await this.hinted(name)))) {
      if (Date.now() > end) throw new Error(`nothing on the page is called "${name}": ${await this.text()}`);
      await new Promise((done) => setTimeout(done, 50));
    }
    for (const type of ['mouseMoved', 'mousePressed', 'mouseReleased']) await this.mouse(type, place);
  }

  async picture(file) {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png' });
    writeFileSync(file, Buffer.from(data, 'base64'));
  }

  close() {
    const gone = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGKILL');
    return gone;
  }
}

exports.open = async function open(folder) {
  const page = new Page(folder);
  await page.attach();
  return page;
};
