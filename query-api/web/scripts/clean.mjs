// Empties dist/, but for what git knows.
import { mkdir, readdir, rm } from "node:fs/promises";

const dist = new URL("../dist/", import.meta.url);
// In an image's build there is none.
await mkdir(dist, { recursive: true });
for (const name of await readdir(dist)) {
  if (name !== ".gitignore") await rm(new URL(name, dist), { recursive: true });
}
