"""JsSIP as npm has it, put together into one script that a page can run. Needs npm and its registry."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = ("jssip", "debug", "events", "ms", "sdp-transform")

# CommonJS (what `require` is) in a few lines, over a table of files.
LOADER = """
window.JsSIP = (() => {
  const files = %s, mains = %s, made = {};
  const resolve = (from, name) => {
    if (mains[name]) return mains[name];
    const parts = from.split("/").slice(0, -1);
    for (const part of name.split("/")) part === ".." ? parts.pop() : part !== "." && parts.push(part);
    const path = parts.join("/");
    return [path, path + ".js", path + "/index.js"].find((one) => one in files);
  };
  const load = (path) => {
    if (!made[path]) {
      const module = (made[path] = { exports: {} });
      if (path.endsWith(".json")) module.exports = JSON.parse(files[path]);
      else new Function("module", "exports", "require", "process", "global", files[path])(
        module, module.exports, (name) => load(resolve(path, name)), { env: {} }, window);
    }
    return made[path].exports;
  };
  return load(mains.jssip);
})();
"""


def bundle(folder: Path) -> str | None:
    """Return the script that makes `window.JsSIP`, or None where npm or its registry is not there."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=20000"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=180)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return None
    modules = folder / "node_modules"
    files = {
        path.relative_to(modules).as_posix(): path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in sorted((modules / package).rglob("*.js*"))
        if path.suffix in (".js", ".json")
    }
    mains = {package: _main(package, json.loads(files[f"{package}/package.json"]), files) for package in PACKAGES}
    return LOADER % (json.dumps(files), json.dumps(mains))


def _main(package: str, described: dict[str, Any], files: dict[str, str]) -> str:
    """Return the file that a package begins with; in a browser some begin with another one."""
    path = f"{package}/{(described.get('browser') or described['main']).removeprefix('./').rstrip('/')}"
    return next(one for one in (path, f"{path}.js", f"{path}/index.js") if one in files)
