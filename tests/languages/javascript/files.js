// What JavaScript makes of a granted folder, with the file functions of Node that `jco-std` writes in terms of WASI: every step
// that a program is likely to take, each with how it ended.
import * as preopens from "wasi:filesystem/preopens@0.2.12";
import { createWasiVfs } from "@bytecodealliance/jco-std/wasi/0.2.x/node/26.x.x/vfs/impl/wasi-filesystem";

const NAME = "files_javascript";
const ROOT = "/javascript"; // within the mount
const LONG_AGO = 1_600_000_000;

const { create, RealFSProvider } = createWasiVfs({ preopens });
const fs = create(new RealFSProvider("/notes"));

const text = (path) => fs.readFileSync(path, "utf8");

function sought(path) {
  const file = fs.openSync(path, "r+");
  fs.writeSync(file, new TextEncoder().encode("SECOND"), 0, 6, 6);
  const { size } = fs.fstatSync(file);
  fs.closeSync(file);
  return size;
}

function about(path) {
  const found = fs.statSync(path);
  return [found.size, found.isFile(), found.mtimeMs > LONG_AGO * 1000];
}

function temporary() {
  const folder = fs.mkdtempSync(`${ROOT}/x`);
  fs.writeFileSync(`${folder}/x`, "x");
  fs.rmSync(folder, { recursive: true });
  return [folder.startsWith(ROOT), fs.existsSync(folder)];
}

function opened(path) {
  const folder = fs.opendirSync(path);
  const names = [];
  for (let entry; (entry = folder.readSync()); ) names.push(entry.name);
  folder.closeSync();
  return names.sort();
}

// In pieces: what one call of the host takes ends at 1 MiB.
function filled(path) {
  for (let piece = 0; piece < 32; piece++) fs.appendFileSync(path, new Uint8Array(1 << 16));
}

const STEPS = [
  ["mkdir", () => fs.mkdirSync(ROOT)],
  ["mkdir again", () => fs.mkdirSync(ROOT)],
  ["mkdir recursive", () => fs.mkdirSync(`${ROOT}/a/b/c`, { recursive: true })],
  ["writeFile", () => fs.writeFileSync(`${ROOT}/one`, "first\n")],
  ["appendFile", () => fs.appendFileSync(`${ROOT}/one`, "second\n")],
  ["writeFile wx", () => fs.writeFileSync(`${ROOT}/one`, "", { flag: "wx" })],
  ["readFile", () => text(`${ROOT}/one`)],
  ["open, write at, fstat", () => sought(`${ROOT}/one`)],
  ["truncate", () => fs.truncateSync(`${ROOT}/one`, 12)],
  ["readFile", () => text(`${ROOT}/one`)],
  ["stat", () => about(`${ROOT}/one`)],
  ["utimes", () => fs.utimesSync(`${ROOT}/one`, LONG_AGO, LONG_AGO)],
  ["mtime", () => fs.statSync(`${ROOT}/one`).mtimeMs / 1000],
  ["rename", () => fs.renameSync(`${ROOT}/one`, `${ROOT}/two`)],
  ["writeFile", () => fs.writeFileSync(`${ROOT}/three`, "3")],
  ["rename over", () => fs.renameSync(`${ROOT}/three`, `${ROOT}/two`)],
  ["readFile", () => text(`${ROOT}/two`)],
  ["exists", () => [fs.existsSync(`${ROOT}/one`), fs.existsSync(`${ROOT}/two`)]],
  ["access", () => fs.accessSync(`${ROOT}/two`)],
  ["readdir", () => fs.readdirSync(ROOT).sort()],
  ["readdir types", () => fs.readdirSync(ROOT, { withFileTypes: true }).map((entry) => `${entry.name} ${entry.isDirectory()}`).sort()],
  ["readdir recursive", () => fs.readdirSync(ROOT, { recursive: true }).sort()],
  ["opendir", () => opened(ROOT)],
  ["symlink", () => fs.symlinkSync("two", `${ROOT}/link`)],
  ["readlink", () => fs.readlinkSync(`${ROOT}/link`)],
  ["through it", () => text(`${ROOT}/link`)],
  ["realpath", () => fs.realpathSync(`${ROOT}/link`)],
  ["symlink out", () => fs.symlinkSync("/etc/passwd", `${ROOT}/out`)],
  ["symlink up", () => fs.symlinkSync("../../..", `${ROOT}/up`)],
  ["through up", () => fs.readdirSync(`${ROOT}/up`)],
  ["link", () => fs.linkSync(`${ROOT}/two`, `${ROOT}/hard`)],
  ["copyFile", () => fs.copyFileSync(`${ROOT}/two`, `${ROOT}/four`)],
  ["mkdtemp", temporary],
  ["promises", async () => String(await fs.promises.readFile(`${ROOT}/four`))],
  ["up and out", () => fs.writeFileSync("/../../out", "x")],
  ["stays within", () => fs.existsSync("/out")],
  ["unlink", () => fs.unlinkSync("/out")],
  ["absolute", () => text("/etc/passwd")],
  ["list all", () => fs.readdirSync("/")],
  ["another folder", () => create(new RealFSProvider("/etc")).readFileSync("/passwd")],
  ["chmod", () => fs.chmodSync(`${ROOT}/two`, 0o600)],
  ["grow", () => fs.truncateSync(`${ROOT}/two`, 1 << 21)],
  ["fill", () => filled(`${ROOT}/large`)],
  ["unlink", () => fs.unlinkSync(`${ROOT}/large`)],
  ["rmdir full", () => fs.rmdirSync(ROOT)],
  ["rm", () => fs.rmSync(ROOT, { recursive: true })],
  ["left", () => fs.readdirSync("/")],
];

async function ended(step) {
  try {
    return JSON.stringify(await step()) ?? "ok";
  } catch (error) {
    return error?.code ?? String(error);
  }
}

export const handler = {
  describe() {
    const description = "Uses a folder as programs in JavaScript do, and says how each step ended.";
    return { tools: [{ name: NAME, description, inputSchema: '{"type":"object"}', capabilities: ["files"] }] };
  },

  async call(name) {
    if (name !== NAME) throw { tag: "failed", val: "there is no such tool" };
    const lines = [];
    for (const [step, run] of STEPS) lines.push(`${step}: ${await ended(run)}`);
    return { content: [{ tag: "text", val: lines.join("\n") }] };
  },
};
