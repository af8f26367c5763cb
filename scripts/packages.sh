# Sourced by scripts/test and .ci/run: the Debian packages that building and testing need.

# Prints the packages that are missing, one per line.
missing_packages() {
    local path=$PATH:/usr/sbin:/sbin
    PATH=$path command -v cc >/dev/null || printf '%s\n' gcc libc6-dev
    PATH=$path command -v setpriv >/dev/null || echo util-linux
    PATH=$path command -v script >/dev/null || echo bsdutils
    PATH=$path command -v python3 >/dev/null || echo python3
    PATH=$path command -v mariadbd >/dev/null || echo mariadb-server
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null ||
        PATH=$path command -v postgres >/dev/null || echo postgresql
}

# Installs what is missing, as root or through sudo without a password; otherwise names it and fails.
install_missing_packages() {
    local packages as_root=()
    mapfile -t packages < <(missing_packages)
    [ ${#packages[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo -n)
    fi
    if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
        echo "Not installed: ${packages[*]}" >&2
        echo "Install them first (Debian: apt-get install ${packages[*]}), then run this again." >&2
        return 1
    fi
    echo "Installing ${packages[*]}"
    # The tests start servers of their own; RUNLEVEL=1 keeps the packages from starting theirs where that is heeded.
    local environment=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1)
    "${as_root[@]}" "${environment[@]}" apt-get update -q </dev/null
    "${as_root[@]}" "${environment[@]}" apt-get install -q -y --no-install-recommends "${packages[@]}" </dev/null
}
