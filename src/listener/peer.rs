//! Which user is at the other end of a connection from this machine, as Linux tells.
//!
//! Other systems tell nobody, and there every user of the machine counts as the owner.

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use nix::unistd::geteuid;

/// Where the system has its connections. A socket for IPv6 may be used for IPv4, and is in the second then.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// How often a table is read for one that is not in it.
const LOOKS: usize = 3;

/// Whether this is known to be another user's end. `peer` and `ours` are the addresses of both ends. Reads files.
pub(super) fn is_stranger(peer: SocketAddr, ours: SocketAddr) -> bool {
    if !peer.ip().is_loopback() && peer.ip() != ours.ip() {
        return false;
    }
    let is_another = || {
        let tables: Vec<String> = TABLES.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
        is_another(&tables, peer, ours, geteuid().as_raw())
    };
    // A table that changes while it is read may lack one that is there.
    (0..LOOKS).find_map(|_| is_another()).unwrap_or(true)
}

/// The same, by these tables. `None` if the other end is gone.
fn is_another(tables: &[String], peer: SocketAddr, ours: SocketAddr, user: u32) -> Option<bool> {
    let (peer, ours) = (forms(peer), forms(ours));
    let find = |from: &[String], to: &[String]| {
        tables.iter().flat_map(|table| table.lines()).find_map(|line| owner(line, from, to))
    };
    match find(&peer, &ours) {
        // The superuser can do anything anyway. One that is closed belongs to nobody, and is shown as the superuser's.
        Some((owner, inode)) => Some(inode == 0 || (owner != user && owner != 0)),
        // It is gone, unless the system does not tell even of our own end.
        None => find(&ours, &peer).is_none().then_some(false),
    }
}

/// The owner and the inode of the socket that this line tells of, if it is the one between these addresses.
fn owner(line: &str, from: &[String], to: &[String]) -> Option<(u32, u64)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let mut is = |forms: &[String]| words.next().is_some_and(|word| forms.iter().any(|form| form == word));
    if !is(from) || !is(to) {
        return None;
    }
    // State, queues, timer and retransmissions are between.
    Some((words.nth(4)?.parse().ok()?, words.nth(1)?.parse().ok()?))
}

/// How an address may be written: as words of 32 bits in the machine's own order.
fn forms(address: SocketAddr) -> Vec<String> {
    let word = |four: &[u8]| format!("{:08X}", u32::from_ne_bytes(four.try_into().unwrap_or_default()));
    let with_port = |bytes: &[u8]| {
        let words: Vec<String> = bytes.chunks(4).map(word).collect();
        format!("{}:{:04X}", words.concat(), address.port())
    };
    let v6 = |ip: Ipv6Addr| with_port(&ip.octets());
    match address.ip() {
        IpAddr::V4(ip) => vec![with_port(&ip.octets()), v6(ip.to_ipv6_mapped())],
        IpAddr::V6(ip) => {
            let v4 = ip.to_ipv4_mapped().map(|ip| with_port(&ip.octets()));
            v4.into_iter().chain([v6(ip)]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Both ends of connections, as a kernel has told of them; the machine counts from the little end.
    #[cfg(target_endian = "little")]
    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1CFC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1 0 100 0 0 10 0
   1: 0100007F:C001 0100007F:1CFC 01 00000000:00000000 00:00000000 00000000  1000        0 12 1 0 20 4 30 10 -1
   2: 0100007F:C002 0100007F:1CFC 01 00000000:00000000 00:00000000 00000000  1001        0 13 1 0 20 4 30 10 -1
   3: 0100007F:C003 0100007F:1CFC 01 00000000:00000000 00:00000000 00000000     0        0 14 1 0 20 4 30 10 -1
   4: 0100007F:C004 0100007F:1CFC 04 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   5: 0100007F:1CFC 0100007F:C005 01 00000000:00000000 00:00000000 00000000  1000        0 15 1 0 20 4 30 10 -1
";

    #[test]
    #[cfg(target_endian = "little")]
    fn another_users_end_is_known() {
        let six = "  0: 0000000000000000FFFF00000100007F:C006 0000000000000000FFFF00000100007F:1CFC 01 0:0 00:0 0  1001 0 16";
        let tables = [TABLE.to_owned(), six.to_owned()];
        let ours = SocketAddr::from(([127, 0, 0, 1], 7420));
        for (port, another) in [
            (0xC001, false),
            (0xC002, true),
            (0xC003, false),
            (0xC004, true),
            (0xC005, true),
            (0xC006, true),
            (0xC007, false),
        ] {
            let peer = SocketAddr::from(([127, 0, 0, 1], port));
            assert_eq!(is_another(&tables, peer, ours, 1000).unwrap_or(true), another, "{port:x}");
        }
        let peer = SocketAddr::from(([127, 0, 0, 1], 0xC004));
        assert_eq!(is_another(&tables, peer, ours, 0), Some(true), "it belongs to nobody, whoever we are");
    }

    #[test]
    fn our_own_end_is_ours() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            assert!(!is_stranger(peer, accepted.local_addr().unwrap()));
            drop(stream);
        }
    }
}
