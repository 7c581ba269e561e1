#!/usr/bin/env bash
# The Debian package: `deb.sh RELEASE SERVER` makes `mcp-supervise.deb` in RELEASE, the folder of Cargo's release build, installs
# it in a clean directory tree, uses it from there, and removes it again; the system's own packages are not touched. SERVER is
# an MCP server that needs nothing else. Needs cargo-deb, dpkg-dev and groff.
set -euo pipefail

release=$(realpath "$1")
server=$(realpath "$2")
deb=$release/mcp-supervise.deb
cd "$(dirname "$0")/.."

mkdir -p "$release/completions"
"$release/mcp-supervise" completions bash >"$release/completions/mcp-supervise"
"$release/mcp-supervise" completions zsh >"$release/completions/_mcp-supervise"
"$release/mcp-supervise" completions fish >"$release/completions/mcp-supervise.fish"
cargo deb --no-build --no-strip --locked --quiet --output "$deb"

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
fail() { echo "deb: $*" >&2; exit 1; }

# As a system without anything.
mkdir -p "$tree/root/var/lib/dpkg/updates" "$tree/root/var/lib/dpkg/info"
touch "$tree/root/var/lib/dpkg/status" "$tree/root/var/lib/dpkg/available"
package() {
    dpkg --root="$tree/root" --force-not-root --force-depends --force-script-chrootless --log=/dev/null "$@" >"$tree/said" 2>&1 ||
        { cat "$tree/said" >&2 && fail "dpkg $* failed"; }
}
files() { (cd "$tree/root" && find . -not -type d -not -path './var/lib/dpkg/*' | sort); }

package --install "$deb"
for file in usr/bin/mcp-supervise usr/share/man/man1/mcp-supervise.1.gz \
    usr/share/bash-completion/completions/mcp-supervise usr/share/zsh/vendor-completions/_mcp-supervise \
    usr/share/fish/vendor_completions.d/mcp-supervise.fish usr/share/doc/mcp-supervise/copyright; do
    [ -s "$tree/root/$file" ] || fail "there is no $file in it"
done
[ "$(stat -c %a "$tree/root/usr/bin/mcp-supervise")" = 755 ] || fail "the program has another mode than 755"
zcat "$tree/root/usr/share/man/man1/mcp-supervise.1.gz" | groff -man -Tutf8 -z -ww
# Nothing but C's own libraries is needed.
depends=$(dpkg-deb --field "$deb" Depends)
echo "deb: needs $depends"
case "$depends" in *libssl* | *libsqlite*) fail "it needs more than it should" ;; esac

program=$tree/root/usr/bin/mcp-supervise
bare=(env -i HOME="$tree" TMPDIR="$tree" PATH=/usr/bin:/bin)
[ "$("${bare[@]}" "$program" --version)" = "mcp-supervise $(dpkg-deb --field "$deb" Version | sed 's/-[^-]*$//')" ] ||
    fail "it has another version than the package"
"${bare[@]}" "$program" check -- "$server"
echo '{"jsonrpc":"2.0","id":0,"method":"ping"}' | "${bare[@]}" "$program" -- "$server" | grep -q '"id":0' ||
    fail "nothing was relayed"

package --purge mcp-supervise
[ -z "$(files)" ] || fail "after its removal there still is $(files)"
echo "deb: installed, used, removed"
