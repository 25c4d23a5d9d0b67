// The system's Chromium, and one page in it, which tests control as a user does: by the names and
// roles of what it shows, and by keys.
//
// Every wait has a limit, and its error says what the page showed. `close` returns everything that
// must not happen on a page, see complaints.js.
'use strict';

const { execFileSync } = require('node:child_process');
const { mkdtempSync } = require('node:fs');
const { join } = require('node:path');
const { collectComplaints } = require('./complaints');
const { countTraffic } = require('./traffic');

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const LIMIT_MS = 30_000;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', '--lang=en-GB'];
const WIDE = { width: 1280, height: 800 };

let browser;
let page;
let complaints;
let traffic;

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
  return execFileSync('sh', ['-c', `command -v ${found}`], { encoding: 'utf8' }).trim();
}

// Keeps its profile below `folder`, which the test removes, also after this process was killed.
// Chromium ends with this process, because its pipe does.
async function open(folder) {
  const puppeteer = require('puppeteer-core');
  const userDataDir = mkdtempSync(join(folder, 'chromium-'));
  const executablePath = installed();
  browser = await puppeteer.launch({ executablePath, userDataDir, pipe: true, args: FLAGS, defaultViewport: WIDE });
  [page] = await browser.pages();
  page.setDefaultTimeout(LIMIT_MS);
  complaints = await collectComplaints(page);
  traffic = await countTraffic(page);
}

// Returns the visible text of the page and of its fields, without choices that are not taken.
function text() {
  return page.evaluate(() => {
    let visible = document.body?.innerText ?? '';
    for (const choice of document.querySelectorAll('select')) visible = visible.replace(choice.innerText, '');
    const fields = [...document.querySelectorAll('input, textarea, select')].map((field) => field.value);
    return [visible, ...fields].join('\n');
  });
}

async function failure(what) {
  return [`${what} did not happen at ${page.url()}`, ...complaints(), 'the page shows:', await text()].join('\n');
}

// Repeats `look` until it returns something true, and returns that.
async function until(what, look) {
  const end = Date.now() + LIMIT_MS;
  for (;;) {
    // A navigation ends what is evaluated.
    const found = await look().catch((error) => {
      if (Date.now() > end) throw error;
    });
    if (found) return found;
    if (Date.now() > end) throw new Error(await failure(what));
    await new Promise((done) => setTimeout(done, 25));
  }
}

function selector({ role, name }) {
  const quoted = name === undefined ? '' : `[name=${JSON.stringify(name)}]`;
  return `::-p-aria(${quoted}${role ? `[role="${role}"]` : ''})`;
}

function described({ role, name }) {
  return [role ?? 'element', name === undefined ? '' : `"${name}"`].join(' ').trim();
}

// Returns an element that is visible and enabled.
async function element(request) {
  const ready = (it) => it.checkVisibility({ visibilityProperty: true }) && !it.disabled && it.ariaDisabled !== 'true';
  return until(`a usable ${described(request)}`, async () => {
    for (const handle of await page.$$(selector(request))) {
      if (await handle.evaluate(ready)) return handle;
    }
    return undefined;
  });
}

// Returns the element whose tooltip, shown while the pointer is over it, is `name`.
async function elementByTooltip({ name }) {
  const isUnnamed = (it) => ![it.innerText, it.title, it.ariaLabel].some((name) => (name ?? '').trim());
  const isShown = (name) => {
    const leaves = [...document.querySelectorAll('*')].filter((it) => !it.childElementCount);
    return leaves.some((it) => it.textContent.trim() === name);
  };
  return until(`an element with the tooltip "${name}"`, async () => {
    for (const handle of await page.$$('button, a, [role=menuitem], [role=tab]')) {
      if (!(await handle.evaluate(isUnnamed))) continue;
      await handle.hover();
      for (let tries = 0; tries < 6; tries++) {
        if (await page.evaluate(isShown, name)) return handle;
        await new Promise((done) => setTimeout(done, 100));
      }
    }
    return undefined;
  });
}

// Returns the role and the name of what has the focus.
async function focused() {
  const { nodes } = await traffic.client.send('Accessibility.getFullAXTree');
  const found = nodes.findLast((node) => node.properties?.some(({ name, value }) => name === 'focused' && value.value));
  return { role: found?.role?.value ?? '', name: found?.name?.value ?? '' };
}

// Returns the rules that the page breaks seriously, with the elements.
async function inspect() {
  await page.evaluate(require('axe-core').source);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const place = ({ html, any }) => `${html} ${any[0]?.message ?? ''}`;
  return serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(place).join(' | ')}`);
}

const onPage = {
  go: async ({ url }) => {
    await page.goto(url, { waitUntil: 'domcontentloaded' });
  },
  reload: async () => {
    await page.reload({ waitUntil: 'domcontentloaded' });
  },
  url: async () => page.url(),
  text,
  until: (request) => until(`"${request.text}"`, async () => (await text()).includes(request.text)),
  untilGone: (request) => until(`the end of "${request.text}"`, async () => !(await text()).includes(request.text)),
  // The value of an expression in the page; and the same, once it is true.
  evaluate: ({ script }) => page.evaluate(script),
  untilTrue: ({ script }) => until(script, () => page.evaluate(script)),
  // All elements of a role, by name; also hidden from the eye, as assistive technology sees them.
  names: async ({ role }) => {
    const { root } = await traffic.client.send('DOM.getDocument', { depth: 0 });
    const { nodes } = await traffic.client.send('Accessibility.queryAXTree', { nodeId: root.nodeId, role });
    return nodes.filter((node) => !node.ignored).map((node) => node.name?.value ?? '');
  },
  click: async (request) => (await element(request)).click(),
  clickTooltip: async (request) => (await elementByTooltip(request)).click(),
  hover: async (request) => (await element(request)).hover(),
  // Replaces the content of a field.
  fill: async (request) => {
    const field = await element(request);
    await field.click({ count: 3 });
    await page.keyboard.press('Backspace');
    await page.keyboard.type(request.text);
  },
  type: ({ text }) => page.keyboard.type(text),
  press: async ({ key }) => {
    const keys = key.split('+');
    const last = keys.pop();
    for (const held of keys) await page.keyboard.down(held);
    await page.keyboard.press(last);
    for (const held of keys) await page.keyboard.up(held);
  },
  focused,
  viewport: ({ width, height }) => page.setViewport({ width, height }),
  emulate: ({ features }) => page.emulateMediaFeatures(features),
  cookie: ({ cookie }) => browser.setCookie(cookie),
  inspect,
  picture: async ({ file }) => {
    await page.screenshot({ path: file });
  },
  scriptTime: () => traffic.scriptTime(),
  events: async () => traffic.events(),
  responses: async () => traffic.responses(),
  // What happened that must not, except what contains one of `allowed`.
  complaints: async ({ allowed }) => complaints().filter((line) => !allowed.some((words) => line.includes(words))),
};

// Returns the commands. The browser starts with the first one.
exports.verbs = (folder) => {
  const opened = (verb) => async (request) => {
    if (!browser) await open(folder);
    return verb(request);
  };
  return Object.fromEntries(Object.entries(onPage).map(([name, verb]) => [name, opened(verb)]));
};

exports.close = async () => {
  await browser?.close();
};
