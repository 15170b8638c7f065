// Empties dist/, except for .gitignore, which is tracked.
import { mkdir, readdir, rm } from "node:fs/promises";

const dist = new URL("../dist/", import.meta.url);
// The directory does not exist in the container image build.
await mkdir(dist, { recursive: true });
for (const name of await readdir(dist)) {
  if (name !== ".gitignore") await rm(new URL(name, dist), { recursive: true });
}
