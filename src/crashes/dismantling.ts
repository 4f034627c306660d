/**
 * Lines for the shell that take apart what is made of files in a folder ($2). Mounts go before the loop devices below them, and these
 * before their files: a loop device whose file is gone has no name any more to be found by.
 */
export const DISMANTLE = `
loops=$(losetup -n -O NAME,BACK-FILE 2>/dev/null | while read -r loop file; do
  case $file in "$2"/*) echo "$loop" ;; esac
done)
mounts() {
  while read -r source point type rest; do
    point=$(printf '%b' "$point")
    case $type in fuse*) type=fuse ;; *) type=other ;; esac
    case $type:$point in "$1:$2"/*) printf '%s\\n' "$point" ;; esac
  done </proc/mounts | tac
}
mounts other "$2" | while read -r point; do umount -l "$point"; done
for loop in $loops; do losetup -d "$loop"; done
mounts fuse "$2" | while read -r point; do umount -l "$point" || fusermount3 -uz "$point"; done
`;
