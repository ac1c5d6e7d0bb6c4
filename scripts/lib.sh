# shellcheck shell=bash disable=SC2034
# Shared by the scripts: packages, build folders, and a few words to the user.
# Sourced, never run. Sets `root` (the source folder) and `jobs`.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# One package a line; `a|b` accepts either and installs the first. A package whose only use is a
# command is written `package:command`, so that a command from elsewhere on PATH will do.
build_packages=(
  g++:c++ cmake:cmake ninja-build:ninja pkg-config:pkg-config
  libdnnl-dev libhwy-dev libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libfmt-dev
  zlib1g-dev libssl-dev 'libcurl4-openssl-dev|libcurl4-gnutls-dev'
  libopenmpi-dev openmpi-bin:mpirun
  libgtest-dev libgmock-dev libbenchmark-dev ca-certificates)
test_packages=(python3:python3)
ci_packages=(clang-format:clang-format python3-venv libboost-context-dev libthrust-dev
  qemu-user:qemu-x86_64 iproute2:ip)
tidy_packages=(clang-tidy:clang-tidy)

# The test programs that run device code, on GPUs or on the emulator.
gpu_tests=(kernels_test cuda_device_test cuda_training_test device_test nccl_test many_gpus_test)

say() { printf '\n==> %s\n' "$*"; }

note() { printf '    %s\n' "$*"; }

fail() {
  printf '\nerror: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}

package_installed() {
  [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

# Is `entry` of the lists above satisfied?
have() {
  local entry=$1 name
  if [[ $entry == *:* ]]; then
    command -v "${entry#*:}" >/dev/null && return 0
    entry=${entry%%:*}
  fi
  for name in ${entry//|/ }; do
    package_installed "$name" && return 0
  done
  return 1
}

# missing_packages ENTRY...: the packages to install, one a line.
missing_packages() {
  local entry
  for entry in "$@"; do
    have "$entry" && continue
    entry=${entry%%:*}
    printf '%s\n' "${entry%%|*}"
  done
}

# ensure_packages ENTRY...: installs what is missing. Does nothing, and asks the network nothing,
# where everything is there. Never asks a question and never removes a package.
ensure_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    note "This is not Debian or Ubuntu: nothing is installed; CMake will say what it misses."
    return
  fi
  local -a missing as_root
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0

  say "Installing ${missing[*]}"
  if ((EUID == 0)); then
    as_root=(env)
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n env)
  else
    fail "these packages are missing, and this user can not install them without a password:" \
      "  ${missing[*]}" "Run this, then start again:" \
      "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
  fi
  as_root+=(DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a LC_ALL=C.UTF-8)
  local -a apt=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)
  # A source that this machine lists and cannot reach need not be the one that is asked for.
  "${as_root[@]}" "${apt[@]}" update </dev/null ||
    note "apt-get update reported errors; trying to install all the same"
  "${as_root[@]}" "${apt[@]}" install -y --no-install-recommends --no-remove "${missing[@]}" \
    </dev/null ||
    fail "apt-get could not install: ${missing[*]}" \
      "Its messages are above. On Ubuntu some of these are in the component 'universe'."
  hash -r
}

# Is there a compiler for CUDA? The places are those of cmake/LockstepCuda.cmake that need no list.
have_nvcc() {
  local place
  command -v nvcc >/dev/null && return 0
  for place in "${CUDACXX:-}" "${CUDAToolkit_ROOT:-}/bin/nvcc" "${CUDA_HOME:-}/bin/nvcc" \
    "${CUDA_PATH:-}/bin/nvcc" /usr/local/cuda*/bin/nvcc /opt/cuda/bin/nvcc; do
    [[ -x $place ]] && return 0
  done
  return 1
}

# How many compilers at once: one a core, and no more than memory holds (1.5 GB each).
parallel_jobs() {
  local cores memory_kb by_memory
  cores=$(nproc)
  memory_kb=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo 2>/dev/null)
  by_memory=$((${memory_kb:-0} / 1500000))
  ((by_memory > 0)) || by_memory=1
  printf '%s\n' $((cores < by_memory ? cores : by_memory))
}

# Where preset NAME builds: `build` or `build-NAME` in the source folder, or in the user's cache
# where the source folder is not ours to write to. LOCKSTEP_BUILD_ROOT chooses another folder.
build_folder() {
  local parent=${LOCKSTEP_BUILD_ROOT:-$root} suffix=""
  [[ $1 == release ]] || suffix=-$1
  if [[ ! -w $parent && -z ${LOCKSTEP_BUILD_ROOT:-} ]]; then
    parent=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/lockstep-build
  fi
  printf '%s/build%s\n' "$parent" "$suffix"
}

# A build folder made elsewhere (a checkout that was moved or copied) can not be used again.
discard_stale_build() {
  local cache=$1/CMakeCache.txt source
  [[ -f $cache ]] || return 0
  source=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$cache")
  if [[ $source != "$root" ]]; then
    note "$1 was made for $source: starting it afresh"
    rm -rf "$1"
  fi
}

# build PRESET [TARGET...]: configures and builds; prints where only what it must.
build() {
  local preset=$1 folder
  shift
  folder=$(build_folder "$preset")
  discard_stale_build "$folder"
  mkdir -p "$folder"
  local -a launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  (cd "$root" && cmake --preset "$preset" -B "$folder" "${launcher[@]}") &&
    cmake --build "$folder" -j "$jobs" ${1:+--target "$@"}
}

jobs=$(parallel_jobs)
