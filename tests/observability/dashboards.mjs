// The dashboards and alerts of the repository, taken apart.
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const FOLDER = path.join(ROOT, 'dashboards');
const GRAFANA = path.join(FOLDER, 'grafana/dashboards');

export function dashboards() {
  return readdirSync(GRAFANA).map((file) => ({ file, json: JSON.parse(readFileSync(path.join(GRAFANA, file))) }));
}

/** Every expression of every panel, with a name that says where it stands. */
export function panelExpressions() {
  return dashboards().flatMap(({ json }) =>
    json.panels.flatMap((panel) =>
      panel.targets.map((target) => ({ name: `${json.uid} / ${panel.title} / ${target.legendFormat}`, expr: target.expr })),
    ),
  );
}

/** The alerts: `alerts.yml` is written plainly enough to be read line by line. */
export function alerts() {
  const found = [];
  for (const line of readFileSync(path.join(FOLDER, 'alerts.yml'), 'utf8').split('\n')) {
    const [, key, value] = line.match(/^\s+(?:- )?(alert|expr|summary|description|runbook): (.*)$/) ?? [];
    if (key === 'alert') found.push({ alert: value });
    else if (key) found.at(-1)[key] = value.replace(/^"(.*)"$/, '$1');
  }
  return found;
}
