// Makes one module of the tool and what it imports, with a `Buffer` in place of Node's.
import { rolldown } from "rolldown";

const bundle = await rolldown({
  input: "files.js",
  platform: "neutral",
  external: [/^wasi:/],
  resolve: { alias: { "node:buffer": "unenv/node/internal/buffer/buffer" } },
});
await bundle.write({ file: "bundle.js", format: "es" });
