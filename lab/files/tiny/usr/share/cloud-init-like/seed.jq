# What a seed asks for, as lines for sh; $part says which of it. One run of jq for each part:
# to start a program is what costs in an emulated guest.
def parsed: sub("^#[^\n]*\n"; "") | try fromjson catch {};
def call: map(tostring) | @sh;

($meta | parsed) as $m | ($user | parsed) as $u | ($network | parsed) as $n |

def names:
  "host=\($u.fqdn // $u.hostname // $m["local-hostname"] // $m.hostname // "" | @sh)",
  "id=\($m["instance-id"] // $m.uuid // "unknown" | @sh)";

def no_cloud:
  ($n.network // $n).ethernets // {} | .[] |
  (["nic", (.match.macaddress | ascii_downcase), .["set-name"] // ""] | call),
  (.addresses // [] | .[] | ["address", .] | call),
  (select(.dhcp4) | "dhcp"),
  (.gateway4 // empty | ["route", "default", .] | call),
  (.routes // [] | .[] | ["route", .to, .via] | call),
  (.nameservers.addresses // [] | .[] | ["nameserver", .] | call);

def config_drive:
  ($n.links[] | . as $link |
    (["nic", (.ethernet_mac_address | ascii_downcase), ""] | call),
    ($n.networks[] | select(.link == $link.id) |
      (select(.type == "ipv4" or .type == "ipv6") | ["address", .ip_address, .netmask // ""] | call),
      (select(.type == "ipv4_dhcp" or .type == "dhcp4") | "dhcp"),
      (.gateway // empty | ["route", "default", .] | call),
      (.routes // [] | .[] | ["route", .network, .gateway, .netmask // ""] | call))),
  ([$n.services // [], ($n.networks[] | .services // [])] | add
    | map(select(.type == "dns") | .address) | unique | .[] | ["nameserver", .] | call);

def keys: .ssh_authorized_keys // .["ssh-authorized-keys"] // [] | if type == "array" then . else [.] end;

def accounts:
  ($u.users // [] | map(select(type == "object"))) as $users |
  ($users[] | ["account", .name, .hashed_passwd // .passwd // ""] + keys + ($u | keys) | call),
  (["account", "root", ""] + ($users[0] // {} | keys) + ($u | keys)
    + if $users == [] then [$m.public_keys // {} | .[]] else [] end | call);

def files:
  $u.write_files // [] | .[] | ["file", .path, .permissions // "0644", .content] | call;

def commands:
  $u.runcmd // [] | .[] | if type == "array" then call else . end;

if $part == "boot" then names, (if $n.links then config_drive else no_cloud end)
elif $part == "accounts" then accounts
elif $part == "files" then files
else commands end
