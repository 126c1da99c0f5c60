//! Opens the listening sockets, which is kept apart from serving so that a port in use is known
//! before anything starts.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use super::ListenAddress;

/// Connections that the system holds ready until they are accepted; the system may lower it.
const BACKLOG: i32 = 1_024;

/// Why there is no listening socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address was refused by the system.
    #[error("cannot listen on {address}: {remedy}")]
    Bind {
        /// As the operator wrote it.
        address: String,
        /// What to do about it.
        remedy: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Socket activation was asked for, but the service manager handed nothing over.
    #[error(
        "--web.systemd-socket: no socket was handed over (LISTEN_FDS and LISTEN_PID are not set for this process); \
         start the exporter through its .socket unit or leave the flag out"
    )]
    NothingHandedOver,
    /// A socket from the service manager cannot be served.
    #[error(
        "--web.systemd-socket: socket number {index} is no listening TCP socket; use ListenStream= with a port in the .socket unit"
    )]
    NotTcp {
        /// Counted from 0 in the order of the unit file.
        index: usize,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Opens every address, in order; nothing stays open if one fails. `local_addr` of each listener
/// tells the port that was chosen for port 0.
///
/// # Errors
/// The first address that cannot be opened, with its remedy.
pub fn bind(addresses: &[ListenAddress]) -> Result<Vec<TcpListener>, ListenError> {
    addresses.iter().map(bind_one).collect()
}

/// Takes over the sockets that systemd opened (`LISTEN_FDS`). To be called once, early in the
/// process, as it consumes them.
///
/// # Errors
/// When there are none, or one is no TCP listener.
pub fn from_systemd() -> Result<Vec<TcpListener>, ListenError> {
    let mut handed_over = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..handed_over.len() {
        let not_tcp = |source| ListenError::NotTcp { index, source };
        if let Some(listener) = handed_over.take_tcp_listener(index).map_err(not_tcp)? {
            listener.set_nonblocking(true).map_err(not_tcp)?;
            listeners.push(listener);
        }
    }
    if listeners.is_empty() {
        Err(ListenError::NothingHandedOver)
    } else {
        Ok(listeners)
    }
}

fn bind_one(address: &ListenAddress) -> Result<TcpListener, ListenError> {
    let result = match &address.host {
        None => open(SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port))).or_else(|error| {
            if no_ipv6(&error) {
                open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port)))
            } else {
                Err(error)
            }
        }),
        Some(host) => resolve(host, address.port).and_then(open),
    };
    result.map_err(|source| ListenError::Bind {
        address: address.to_string(),
        remedy: remedy(&source),
        source,
    })
}

/// The first address of a host, IPv4 first as for `net.Listen` in Go, whose exporters operators know.
fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first
        .copied()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // [::] then serves IPv4 too; the system's own default differs between machines.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A restart must not wait for connections of the previous process to leave TIME_WAIT. On
    // Windows the same option would let two processes share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Whether the machine lacks IPv6, as opposed to the port being taken.
fn no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    const WSAEAFNOSUPPORT: i32 = 10_047;
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    ) || matches!(error.raw_os_error(), Some(EAFNOSUPPORT | WSAEAFNOSUPPORT))
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the address is in use; stop the other process or choose another port with --web.listen-address"
        }
        io::ErrorKind::PermissionDenied => {
            "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE, or choose a higher port"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; give one of its own, or :PORT for all"
        }
        _ => "check that the host name resolves to an address of this machine",
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn address(text: &str) -> ListenAddress {
        text.parse().unwrap()
    }

    #[test]
    fn port_0_without_host_serves_ipv4_and_tells_its_port() {
        let listeners = bind(&[address(":0"), address("127.0.0.1:0")]).unwrap();
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|&port| port != 0), "{ports:?}");
        assert_ne!(ports[0], ports[1]);
        for port in ports {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn an_address_in_use_is_named() {
        let taken = bind(&[address("127.0.0.1:0")]).unwrap();
        let wanted = taken[0].local_addr().unwrap().to_string();
        let error = bind(&[address(&wanted)]).unwrap_err().to_string();
        assert!(
            error.contains(&wanted) && error.contains("in use") && error.contains("--web.listen-address"),
            "{error}"
        );
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_a_remedy() {
        // TEST-NET-1 of RFC 5737 belongs to nobody.
        let error = bind(&[address("192.0.2.1:0")]).unwrap_err().to_string();
        assert!(
            error.contains("192.0.2.1:0") && error.contains("no such address"),
            "{error}"
        );
    }

    #[test]
    fn only_a_missing_ipv6_leads_to_ipv4() {
        assert!(no_ipv6(&io::Error::from_raw_os_error(97)));
        assert!(no_ipv6(&io::ErrorKind::AddrNotAvailable.into()));
        assert!(!no_ipv6(&io::ErrorKind::AddrInUse.into()));
        assert!(!no_ipv6(&io::ErrorKind::PermissionDenied.into()));
    }

    #[test]
    fn without_a_service_manager_activation_says_so() {
        // The test runner has no LISTEN_PID of this process.
        assert!(matches!(from_systemd(), Err(ListenError::NothingHandedOver)));
    }
}
