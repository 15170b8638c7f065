// Packs every file of dist/ beside itself, once and as small as can be, so that the service need not do it.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

const dist = fileURLToPath(new URL("../dist", import.meta.url));
const packers = {
  br: (text) => promisify(brotliCompress)(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
  gz: (text) => promisify(gzip)(text, { level: 9 }),
};

const entries = await readdir(dist, { recursive: true, withFileTypes: true });
const files = entries.filter((entry) => entry.isFile() && /\.(html|js|css|svg)$/.test(entry.name));
for (const file of files) {
  const path = join(file.parentPath ?? file.path, file.name);
  const text = await readFile(path);
  for (const [ending, pack] of Object.entries(packers)) {
    const packed = await pack(text);
    // What is hardly smaller is not worth a second copy.
    if (packed.length < text.length * 0.9) await writeFile(`${path}.${ending}`, packed);
  }
}
