// One step of a walk: prints `ok STEP` or `FAILED STEP`, the reason on stderr. A step that fails ends the walk, since the
// next ones stand on it.

export const STEP_MS_MAX = 60_000;

export async function step(name, run) {
  let timer;
  const late = new Promise((_, no) => {
    timer = setTimeout(() => no(new Error(`no end after ${STEP_MS_MAX} ms`)), STEP_MS_MAX);
  });
  try {
    await Promise.race([run(), late]);
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`FAILED ${name}`);
    console.error(`  ${error.stack ?? error}`);
    process.exit(1);
  } finally {
    clearTimeout(timer);
  }
}
