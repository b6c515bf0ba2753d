#!/usr/bin/env bash
# Runs inside the machine, once before and once after a reboot; each step says ok or FAIL.
set -uo pipefail
export SYSTEMD_COLORS=0 SYSTEMD_PAGER= SYSTEMD_URLIFY=0

unit=imagesvc.service
unit_file=/etc/systemd/system/$unit
state=/var/lib/proof
home=/home/ec2-user
folder=$home/demo/vector-embedding
key=nvapi-proof-0123456789
origin=http://127.0.0.1:8000
failed=0

# step SENTENCE COMMAND…
step() {
  local sentence=$1 output
  shift
  if output=$("$@" 2>&1); then
    echo "ok    $sentence"
  else
    failed=$((failed + 1))
    echo "FAIL  $sentence"
    tail -n 40 <<<"$output" | sed 's/^/      /'
  fi
}

# until_true SECONDS COMMAND…
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || { systemctl status --lines=0 "$unit"; journalctl --unit="$unit" --lines=25; return 1; }
    sleep 1
  done
}

main_pid() { systemctl show --property=MainPID --value "$unit"; }
is_active() { [[ $(systemctl is-active "$unit") == active ]]; }
is_other_process() { is_active && [[ $(main_pid) != "$1" && $(main_pid) != 0 ]]; }
was_restarted() { (($(systemctl show --property=NRestarts --value "$unit") >= $1)); }
answers() { curl -sf -m 5 -o /dev/null "$1/livez"; }
model_is_ready() { curl -s -m 5 "$origin/readyz" | jq -e --arg id "$1" '.models[] | select(.id == $id) | .state == "ready"' >/dev/null; }
clip_is_ready() { model_is_ready clip-ViT-B-32@synthetic; }
nvidia_is_ready() { model_is_ready nv-dinov2; }

embed() { curl -sS --fail-with-body -m 60 -F file=@/mnt/docs-page-desktop.png "$origin/vectorize-image-upload?model=clip-ViT-B-32"; }
embeds() {
  local answer
  answer=$(embed) && jq -e '.vector | length == 512' <<<"$answer" >/dev/null || { echo "${answer:0:500}"; return 1; }
}
vector() { embed | jq -ec '.vector | select(length == 512)'; }
has_the_same_vector() { local now; now=$(vector) && [[ $now == "$(<"$state/vector")" ]]; }
keeps_its_file_in() { [[ -n $(find "$1/downloads" -type f -name '*.png' -uid "$(stat -c %u "/proc/$(main_pid)")") ]]; }
is_private() { [[ $(stat -c '%U %a' "$1") == 'root 600' ]]; }

exposure() { systemd-analyze security --no-pager "$unit" | sed -nE 's/.*Overall exposure level.*: ([0-9.]+).*/\1/p'; }
is_silent() { local said; said=$("$@" 2>&1); [[ -z $said ]] || { echo "$said"; return 1; }; }
# fails_saying TEXT COMMAND…
fails_saying() {
  local text=$1 said
  shift
  said=$("$@" 2>&1) && return 1
  grep -qF -- "$text" <<<"$said" || { echo "$said"; return 1; }
}

document_steps() {
  echo "-- the six steps of the original document"
  step "imagesvc systemd prints systemd/imagesvc.service" cmp <(imagesvc systemd) /mnt/imagesvc.service
  step "1, 2: the unit is written" install -m 0644 /mnt/imagesvc.service "$unit_file"
  step "3: systemctl daemon-reload" systemctl daemon-reload
  step "4: systemctl enable" systemctl enable "$unit"
  step "5: systemctl start, back once it listens" systemctl start "$unit"
  step "   it answers at once" answers "$origin"
  step "6: systemctl status says active (running)" grep -q 'Active: active (running)' <(systemctl status "$unit")
  step "systemd-analyze verify says nothing" is_silent systemd-analyze verify "$unit"
  step "systemd-analyze security gives 2.0 or less: $(exposure)" awk "BEGIN { exit !($(exposure) <= 2.0) }"
  step "the model is loaded in the sandbox" until_true 240 clip_is_ready
  step "a picture is embedded" embeds
  step "the picture is kept under /var/lib/imagesvc" keeps_its_file_in /var/lib/private/imagesvc
  step "a file that root puts there can be given to it" gives_a_file
  step "a command runs beside it as its user" runs_beside downloads list
}

gives_a_file() {
  local path=/var/lib/imagesvc/models/given/file
  install -D -m 0600 /dev/null "$path"
  chown -R --reference=/var/lib/imagesvc/ /var/lib/imagesvc/models
  [[ $(stat -c %u "$path") == $(stat -c %u "/proc/$(main_pid)") ]]
}

runs_beside() {
  local owner=(--property=DynamicUser=yes --property=User=imagesvc --property=StateDirectory=imagesvc)
  systemd-run --pipe --wait "${owner[@]}" imagesvc "$@"
}

staying_alive() {
  local pid
  echo "-- it stays"
  pid=$(main_pid)
  step "systemctl reload" systemctl reload "$unit"
  step "   it is the same process, and answers" test "$(main_pid)" == "$pid"
  step "   it answers" answers "$origin"
  upgrade
  pid=$(main_pid)
  kill -9 "$pid"
  step "it comes back after kill -9" until_true 60 is_other_process "$pid"
  step "   it answers" answers "$origin"
  mkdir -p "$unit_file.d"
  printf '[Service]\nWatchdogSec=5\nTimeoutAbortSec=5\n' >"$unit_file.d/short.conf"
  systemctl daemon-reload
  systemctl restart "$unit"
  pid=$(main_pid)
  sleep 12
  step "the watchdog leaves alone who answers it" test "$(main_pid)" == "$pid"
  kill -STOP "$pid"
  step "the watchdog replaces a process that hangs" until_true 60 is_other_process "$pid"
  rm -r "$unit_file.d"
  systemctl daemon-reload
  printf 'PORT=eighty\n' >/etc/imagesvc/environment
  systemctl stop "$unit"
  step "a wrong setting is in the log that --install shows" fails_saying PORT imagesvc systemd --install
  step "   and it is tried again and again" until_true 60 was_restarted 3
  printf 'CLIP_WEIGHTS=synthetic\n' >/etc/imagesvc/environment
  step "   until it is mended" until_true 60 is_active
  step "a port below 1024" imagesvc systemd --install --force --port 80
  step "   it answers there" answers http://127.0.0.1:80
  systemctl disable --now "$unit" 2>/dev/null
  rm "$unit_file"*
}

upgrade() {
  local pid lost=$state/lost
  pid=$(main_pid)
  until_true 240 clip_is_ready
  while [[ -d $state ]]; do
    answers "$origin" || date >>"$lost"
    sleep 0.1
  done &
  local asking=$!
  step "the executable is replaced" install -m 0755 /mnt/imagesvc /usr/local/bin/imagesvc
  step "systemctl kill --kill-whom=main --signal=USR2 starts a new one beside it" systemctl kill --kill-whom=main --signal=USR2 "$unit"
  step "   and the new one takes over" until_true 240 is_other_process "$pid"
  step "   the old one ends" until_true 60 test ! -e "/proc/$pid"
  sleep 5
  step "   the service is still active" is_active
  step "   its model is ready" clip_is_ready
  kill "$asking"
  step "   no request was lost" test ! -e "$lost"
}

over_the_original() {
  local pid
  echo "-- in place of the original document's unit"
  cat >"$unit_file" <<UNIT
[Unit]
Description=FastAPI Image Service
After=network.target

[Service]
User=ec2-user
Group=ec2-user
WorkingDirectory=$folder
Environment="NVIDIA_API_KEY=$key"
ExecStart=/usr/bin/python3 -m uvicorn py.imagesvc:app --host 0.0.0.0 --port 8000
Restart=always

[Install]
WantedBy=multi-user.target
UNIT
  # A stand-in that runs and does nothing.
  printf '#!/bin/sh\nexec sleep infinity\n' >/usr/bin/python3
  chmod 0755 /usr/bin/python3
  cp "$unit_file" "$state/original.service"
  systemctl daemon-reload
  systemctl enable --now "$unit" 2>/dev/null
  step "only root may install" fails_saying sudo setpriv --reuid=ec2-user --regid=ec2-user --clear-groups imagesvc systemd --install
  step "without --force it says how to keep user and folder" fails_saying "--user ec2-user --working-directory $folder" imagesvc systemd --install
  step "   and leaves the unit alone" cmp "$unit_file" "$state/original.service"
  step "a user who does not exist is named" fails_saying "there is no user nobody2" imagesvc systemd --install --force --user nobody2
  step "an executable in a home folder is refused" fails_saying "sudo install" "$home/imagesvc" systemd --install --force
  step "--install --force replaces it" imagesvc_install
  step "   the key is in a file of root's alone" is_private /etc/imagesvc/nvidia_api_key
  step "   and is the old unit's" grep -qx "$key" /etc/imagesvc/nvidia_api_key
  step "   and was not printed" fails_saying "" grep -qF "$key" "$state/install.log"
  step "   the backup is the old unit, for root alone" is_private "$(echo "$unit_file".bak-*)"
  step "   and the same" cmp "$(echo "$unit_file".bak-*)" "$state/original.service"
  step "   it answers" answers "$origin"
  step "   the key is used" until_true 30 nvidia_is_ready
  step "   its user is ec2-user" test "$(stat -c %U "/proc/$(main_pid)")" == ec2-user
  # Folders of the machine that this script makes, seen through the process's own root.
  step "   it sees nothing else of the home folders" test "$(ls -A "/proc/$(main_pid)/root$home" "/proc/$(main_pid)/root${home%/*}" | tr '\n' ' ')" == "/proc/$(main_pid)/root${home%/*}: ${home##*/}  /proc/$(main_pid)/root$home: demo "
  pid=$(main_pid)
  step "--install of the same unit changes nothing" imagesvc systemd --install --force --user ec2-user --working-directory "$folder"
  step "   and restarts nothing" test "$(main_pid)" == "$pid"
  step "the model is loaded" until_true 240 clip_is_ready
  step "a picture is embedded" embeds
  step "the picture is kept under $folder" keeps_its_file_in "$folder"
  step "systemd-analyze verify says nothing" is_silent systemd-analyze verify "$unit"
  step "systemd-analyze security gives 2.0 or less: $(exposure)" awk "BEGIN { exit !($(exposure) <= 2.0) }"
}

imagesvc_install() {
  imagesvc systemd --install --force --user ec2-user --working-directory "$folder" >"$state/install.log" 2>&1
  local code=$?
  cat "$state/install.log"
  return "$code"
}

after_reboot() {
  echo "-- after a reboot"
  step "it is up by itself" until_true 60 is_active
  step "it answers" answers "$origin"
  step "systemctl status says active (running)" grep -q 'Active: active (running)' <(systemctl status "$unit")
  step "the model is loaded" until_true 240 clip_is_ready
  step "a picture has the same vector as before" has_the_same_vector
  step "the key is still used" nvidia_is_ready
  systemctl status "$unit" | sed 's/^/      /'
}

if [[ ! -d $state ]]; then
  mkdir -p "$state" /etc/imagesvc
  install -m 0755 /mnt/imagesvc /usr/local/bin/imagesvc
  printf 'CLIP_WEIGHTS=synthetic\n' >/etc/imagesvc/environment
  useradd --create-home ec2-user
  install -d -o ec2-user -g ec2-user "$home/demo" "$folder"
  install -m 0755 /mnt/imagesvc "$home/imagesvc"
  echo "systemd $(systemctl --version | sed -n '1s/systemd //p'), Linux $(uname -r)"
  document_steps
  staying_alive
  over_the_original
  vector >"$state/vector"
  echo "$failed" >"$state/failed"
  systemctl reboot
else
  failed=$(<"$state/failed")
  after_reboot
  if ((failed == 0)); then echo "every step passed"; else echo "$failed steps failed"; fi
  systemctl poweroff
fi
