// What can be said of dashboards and alerts without running anything.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { FOLDER, ROOT, alerts, dashboards, panelExpressions } from './dashboards.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const TYPES = 'node_modules/@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen';
// Where Grafana's types have an enum, JSON has its value.
const ENUMS = { absolute: 'ThresholdsMode.Absolute', 'palette-classic': 'FieldColorModeId.PaletteClassic', thresholds: 'FieldColorModeId.Thresholds' };

test('the dashboards have the types that Grafana publishes', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'quire-dashboards-'));
  try {
    symlinkSync(path.join(HERE, 'node_modules'), path.join(folder, 'node_modules'));
    for (const { file, json } of dashboards()) {
      const literal = JSON.stringify(json, null, 1).replace(/("mode": )"([^"]+)"/g, (all, key, value) => (ENUMS[value] ? key + ENUMS[value] : all));
      const source = `import { type Dashboard, FieldColorModeId, ThresholdsMode } from './${TYPES}';\nvoid ThresholdsMode; void FieldColorModeId;\nexport const dashboard: Dashboard = ${literal};\n`;
      writeFileSync(path.join(folder, file.replace('.json', '.ts')), source);
    }
    const compilerOptions = { noEmit: true, skipLibCheck: true, strict: true, types: [], module: 'esnext', moduleResolution: 'bundler' };
    writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
    const tsc = path.join(HERE, 'node_modules/typescript/bin/tsc');
    const checked = spawnSync('node', [tsc, '--project', folder], { cwd: folder });
    assert.equal(checked.stdout.toString(), '');
    assert.equal(checked.status, 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('every dashboard has a name of its own, and panels that do not overlap', () => {
  const uids = dashboards().map(({ json }) => json.uid);
  assert.equal(new Set(uids).size, uids.length);
  for (const { file, json } of dashboards()) {
    assert.equal(`${json.uid}.json`, file);
    assert.equal(new Set(json.panels.map((panel) => panel.id)).size, json.panels.length, file);
    const taken = new Set();
    for (const { title, gridPos: { x, y, w, h } } of json.panels) {
      assert.ok(x + w <= 24, `${file}: ${title} is too wide`);
      for (let cell = 0; cell < w * h; cell++) {
        const at = `${x + (cell % w)},${y + Math.floor(cell / w)}`;
        assert.ok(!taken.has(at), `${file}: ${title} lies over another`);
        taken.add(at);
      }
    }
  }
});

test('every panel says what it shows, in which unit, under which legend', () => {
  // https://github.com/grafana/grafana: packages/grafana-data/src/valueFormats/categories.ts
  const units = ['short', 's', 'bytes', 'Bps', 'ops', 'reqps', 'percentunit'];
  for (const { file, json } of dashboards()) {
    for (const panel of json.panels) {
      const name = `${file}: ${panel.title}`;
      assert.ok(panel.title && panel.description?.length > 8, `${name}: no description`);
      assert.ok(units.includes(panel.fieldConfig.defaults.unit), `${name}: unit ${panel.fieldConfig.defaults.unit}`);
      assert.ok(panel.targets.length > 0, `${name}: shows nothing`);
      for (const target of panel.targets) {
        assert.ok(target.legendFormat, `${name}: no legend`);
        assert.deepEqual(target.datasource, { type: 'prometheus', uid: '${datasource}' }, name);
        // A label in the legend must be one that the expression keeps.
        const by = target.expr.match(/^(?:sum|histogram_quantile\([\d.]+, sum) by \(([^)]*)\)/)?.[1].split(', ');
        for (const [, label] of target.legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
          assert.ok(!by || by.includes(label), `${name}: the legend wants ${label}`);
        }
      }
      const legends = panel.targets.map((target) => target.legendFormat);
      assert.equal(new Set(legends).size, legends.length, `${name}: two legends are one`);
    }
  }
});

test('variables are defined where they are used, and used where they are defined', () => {
  for (const { file, json } of dashboards()) {
    const defined = json.templating.list.map((variable) => variable.name);
    const text = JSON.stringify({ panels: json.panels, queries: json.templating.list.map((v) => v.query) });
    const used = new Set([...text.matchAll(/\$\{?(\w+)\}?/g)].map(([, name]) => name));
    used.add('datasource');
    assert.deepEqual([...used].filter((name) => !name.startsWith('__')).sort(), [...defined].sort(), file);
  }
});

test('links lead to the other dashboards, with what was chosen', () => {
  for (const { file, json } of dashboards()) {
    const links = json.links.filter((link) => link.type === 'dashboards');
    assert.equal(links.length, 1, file);
    const [{ tags, includeVars, keepTime }] = links;
    assert.ok(includeVars && keepTime, file);
    for (const other of dashboards()) {
      assert.ok(tags.length > 0 && tags.every((tag) => other.json.tags.includes(tag)), `${file} leads not to ${other.file}`);
      const names = ({ json }) => json.templating.list.map((variable) => variable.name);
      assert.deepEqual(names(other), names({ json }), `${other.file}: what is chosen in ${file} means nothing there`);
    }
  }
});

test('expressions of a dashboard are about the chosen node', () => {
  for (const { name, expr } of panelExpressions()) {
    assert.ok(expr.includes('instance=~"$instance"'), name);
  }
});

test('every alert says what to do: a chapter in the handbook, and a test that fires it', () => {
  const handbook = readFileSync(path.join(ROOT, 'docs/operations.md'), 'utf8');
  const tests = readFileSync(path.join(FOLDER, 'alerts.test.yml'), 'utf8');
  assert.ok(alerts().length >= 7);
  for (const { alert, expr, summary, description, runbook } of alerts()) {
    assert.ok(expr && summary && description, alert);
    assert.equal(runbook, `docs/operations.md#${alert.toLowerCase()}`);
    assert.ok(existsSync(path.join(ROOT, runbook.split('#')[0])));
    assert.match(handbook, new RegExp(`^### ${alert}$`, 'm'));
    assert.match(tests, new RegExp(`alertname: ${alert}\\n        exp_alerts:\\n          - exp_labels`));
    assert.match(tests, new RegExp(`alertname: ${alert}\\n        exp_alerts: \\[\\]`));
  }
});
