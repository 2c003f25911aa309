// The one place where scripts open the files of this folder.

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** The content of a file; `path` is its path in this folder without `.gz`. */
export function recorded(path) {
  return gunzipSync(readFileSync(new URL(`${path}.gz`, import.meta.url)));
}
