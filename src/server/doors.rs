//! The listening sockets: one for each thread that serves connections, all at one address, so that the system shares
//! new connections out among them. Of a socket that was passed there is only the one queue, from which all threads take.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that may wait to be let in, at each socket; the system may allow fewer.
const BACKLOG: i32 = 1024;
/// So much of an answer may wait in the system for the client to take what is before it.
const UNSENT_BYTES: u32 = 128 * 1024;
/// A client of whom nothing was heard for so long is asked by the system whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Where clients come in.
pub(super) enum Place {
    /// At this address; with port 0, at a free port.
    Address(SocketAddr),
    /// By a socket that somebody else has opened, and keeps open when it is closed here.
    Passed(TcpListener),
}

/// So many sockets that listen at this place, and the address that it has.
///
/// # Errors
/// Those of the operating system; that somebody listens there is one.
pub(super) fn open(place: Place, count: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let doors = match place {
        Place::Address(address) => bound(address, count)?,
        Place::Passed(door) => cloned(door, count)?,
    };
    let address = doors.first().ok_or(io::ErrorKind::InvalidInput)?.local_addr()?;
    Ok((address, doors))
}

fn cloned(door: TcpListener, count: usize) -> io::Result<Vec<TcpListener>> {
    adjust(&SockRef::from(&door))?;
    // What the clones have is that of the one: a queue, too, as long as whoever has opened it made it.
    let others: io::Result<Vec<_>> = (1..count).map(|_| door.try_clone()).collect();
    Ok(std::iter::once(door).chain(others?).collect())
}

fn bound(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if count == 1 {
        return Ok(vec![listen(bind(address, false)?)?]);
    }
    // Sockets that share a port share it with any other process of the same user, too. That nobody is there already shows
    // only a socket that does not; a free port is none that others share.
    if address.port() != 0 {
        drop(bind(address, false)?);
    }
    let first = listen(bind(address, true)?)?;
    let address = first.local_addr()?;
    let others = (1..count).map(|_| listen(bind(address, true)?));
    std::iter::once(Ok(first)).chain(others).collect()
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // What is left of a process that has just ended holds nobody up.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(socket: Socket) -> io::Result<TcpListener> {
    adjust(&socket)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What is set here, all connections that come in have from the beginning: no call for each of them.
fn adjust(socket: &Socket) -> io::Result<()> {
    // Without it small answers wait for the client's acknowledgement.
    socket.set_tcp_nodelay(true)?;
    // What the system has taken is not what the client has: a write goes on when the client takes, not when a buffer of
    // megabytes has room again.
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4))?;
    socket.set_nonblocking(true)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn somewhere() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn who_comes_in_has_what_the_door_has() {
        let passed = TcpListener::bind(somewhere()).unwrap();
        for place in [Place::Address(somewhere()), Place::Passed(passed)] {
            let (address, doors) = open(place, 1).unwrap();
            let [door] = &doors[..] else { panic!("one door") };
            door.set_nonblocking(false).unwrap();
            let _client = TcpStream::connect(address).unwrap();
            let (stream, _) = door.accept().unwrap();
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE);
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES);
        }
    }

    #[test]
    fn of_a_passed_socket_all_threads_take_and_it_stays_open_when_they_are_gone() {
        let kept = TcpListener::bind(somewhere()).unwrap();
        let address = kept.local_addr().unwrap();
        let (told, doors) = open(Place::Passed(kept.try_clone().unwrap()), 3).unwrap();
        assert_eq!((told, doors.len()), (address, 3));
        for door in doors {
            let _client = TcpStream::connect(address).unwrap();
            let let_in = loop {
                match door.accept() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                    other => break other,
                }
            };
            let_in.expect("each of them lets in who comes");
        }
        let _waits = TcpStream::connect(address).expect("somebody else will let it in");
        kept.set_nonblocking(false).unwrap();
        kept.accept().expect("it has waited");
    }

    #[test]
    fn all_sockets_have_one_port_and_nobody_else_can_have_it() {
        let (_, doors) = open(Place::Address(somewhere()), 3).unwrap();
        let addresses: Vec<_> = doors.iter().map(|door| door.local_addr().unwrap()).collect();
        assert!(addresses.len() == 3 && addresses.iter().all(|address| *address == addresses[0]));
        for count in [1, 3] {
            let error = open(Place::Address(addresses[0]), count).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{count}");
        }
    }
}
