// Writes a Brotli and a gzip copy beside each text file in dist/, at the highest compression level. The service then
// does not compress on each request.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

const dist = fileURLToPath(new URL("../dist", import.meta.url));
const encoders = {
  br: (content) => promisify(brotliCompress)(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
  gz: (content) => promisify(gzip)(content, { level: 9 }),
};

const entries = await readdir(dist, { recursive: true, withFileTypes: true });
const files = entries.filter((entry) => entry.isFile() && /\.(html|js|css|svg)$/.test(entry.name));
for (const file of files) {
  const path = join(file.parentPath ?? file.path, file.name);
  const content = await readFile(path);
  for (const [extension, encode] of Object.entries(encoders)) {
    const encoded = await encode(content);
    // A copy that saves less than 10% is not worth its size in the binary.
    if (encoded.length < content.length * 0.9) await writeFile(`${path}.${extension}`, encoded);
  }
}
