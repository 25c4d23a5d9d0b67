// Prints what is wrong with a Grafana dashboard, and nothing if it has the right shape:
//
//   node dashboard_schema.js dashboard.json
'use strict';

const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const ts = require('typescript');

const dashboard = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const types = join(__dirname, 'dashboard_schema.ts');
const { defaultDashboard } = require('@grafana/schema');

// The file exists in memory only, beside the types that it imports.
const checked = join(__dirname, 'checked_dashboard.ts');
const source = `import type { CheckedDashboard } from './dashboard_schema';
export const dashboard: CheckedDashboard = ${JSON.stringify(dashboard, null, 2)};
`;
const options = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  target: ts.ScriptTarget.ES2022,
  types: [],
};
const host = ts.createCompilerHost(options);
const { fileExists, getSourceFile } = host;
host.fileExists = (file) => file === checked || fileExists(file);
host.getSourceFile = (file, ...rest) =>
  file === checked ? ts.createSourceFile(file, source, options.target) : getSourceFile(file, ...rest);

for (const problem of ts.getPreEmitDiagnostics(ts.createProgram([checked, types], options, host))) {
  const line = problem.file ? problem.file.getLineAndCharacterOfPosition(problem.start).line : 0;
  // The first line of the generated file is the import; the dashboard begins in the second.
  console.log(`${problem.file?.fileName ?? ''}:${line}: ${ts.flattenDiagnosticMessageText(problem.messageText, '\n  ')}`);
}
const newest = defaultDashboard.schemaVersion;
if (newest && dashboard.schemaVersion !== newest) console.log(`schemaVersion is ${dashboard.schemaVersion}, not ${newest}`);
