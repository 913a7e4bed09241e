#!/usr/bin/env bash
# Many slides on a Slurm cluster, one array task a slide: embed -> atlas fit -> assign. See README.md beside this file.
#
#   recipes/slurm.sh submit SLIDES OUT     SLIDES: a file with one path a line; OUT: a folder all nodes see
#
# Environment: HISTOLOOM (the command), ATLAS (a finished one: nothing is fitted), K (0 = the atlas's own), SEED, DEVICE, MPP, LICENCE,
# CACHE (a folder for embeddings, empty for none; OUT/cache), AT_ONCE (tasks at a time), SBATCH_OPTIONS. Submit again after failures:
# what is there already is not made again.
set -euo pipefail

histoloom=${HISTOLOOM:-histoloom} seed=${SEED:-1} threads=${SLURM_CPUS_PER_TASK:-1}
place=(--device "${DEVICE:-cpu}" --threads "$threads")
[ -z "${MPP:-}" ] || place+=(--mpp "$MPP")

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

# Embeddings of the first step serve the last one.
cache=()
[ $# -ne 3 ] || [ -z "${CACHE-$3/cache}" ] || cache=(--cache "${CACHE-$3/cache}")

# The slide of this array task.
slide_of() { sed -n "${SLURM_ARRAY_TASK_ID:?run by sbatch --array}p" "$1"; }

# A slide's name in OUT: its file name and a number of its path, so that two of one name in different folders stay apart and a longer
# list of slides changes nothing.
name_of() { printf '%s-%s' "$(printf %s "$1" | cksum | cut -d' ' -f1)" "$(basename "$1")"; }

embed() {
  local slide name; slide=$(slide_of "$1"); name=$(name_of "$slide")
  [ -e "$2/samples/$name.sample" ] || "$histoloom" -q atlas sample "$slide" --out "$2/samples/$name.sample" --seed "$seed" "${place[@]}" "${cache[@]}"
}

# Anew where a sample has come since.
fit() {
  if [ -e "$2/atlas.json" ] && [ -z "$(find "$2/samples" -name '*.sample' -newer "$2/atlas.json" -print -quit)" ]; then return; fi
  "$histoloom" -q atlas fit "$2/samples" --out "$2/atlas.json" --seed "$seed" --threads "$threads" --licence "${LICENCE:-not stated}"
}

assign() {
  local slide name; slide=$(slide_of "$1"); name=$(name_of "$slide")
  # a map of another atlas, or of another number of its classes, is made again
  "$histoloom" -q cluster "$slide" --atlas "${ATLAS:-$2/atlas.json}" --k "${K:-0}" --seed "$seed" \
    "${place[@]}" "${cache[@]}" --skip-done --out "$2/maps/$name"
}

submit() {
  local slides out self n array after=() job
  slides=$(realpath "$1"); self=$(realpath "$0"); mkdir -p "$2/logs" "$2/samples"; out=$(realpath "$2")
  n=$(grep -c . "$slides") || { echo "no slide in $slides" >&2; exit 2; }
  [ "$n" = "$(wc -l <"$slides")" ] || { echo "$slides: every line is a path, and the last ends with a newline" >&2; exit 2; }
  array="1-$n%${AT_ONCE:-50}"
  local options=(--parsable --export=ALL --output="$out/logs/%x-%A_%a.log")
  read -ra own <<<"${SBATCH_OPTIONS:-}"
  if [ -z "${ATLAS:-}" ]; then
    job=$(sbatch "${options[@]}" "${own[@]}" --job-name=embed --array="$array" "$self" embed "$slides" "$out")
    # a slide that cannot be read (no tissue, not H&E) must not stop the others: afterany, and the fit takes what is there
    job=$(sbatch "${options[@]}" "${own[@]}" --job-name=fit --dependency="afterany:${job%%;*}" "$self" fit "$slides" "$out")
    after=(--dependency="afterok:${job%%;*}")
  fi
  sbatch "${options[@]}" "${own[@]}" --job-name=assign --array="$array" "${after[@]}" "$self" assign "$slides" "$out"
}

[ $# -eq 3 ] || usage
case "$1" in
  submit | embed | fit | assign) "$1" "$2" "$3" ;;
  *) usage ;;
esac
