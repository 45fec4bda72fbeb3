//! The process that listens on an address: it owns the connections that no process has accepted yet.
//!
//! Such a connection has no file, so no descriptor leads to it. It waits in the accept queue of a listening socket,
//! which has a file. The kernel does not report the listener of a connection. As in the kernel, the listener with the
//! most specific address is chosen.
//!
//! One [`Listeners`] serves any number of connections of one moment. Later connections need a new scan.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use netlink_packet_sock_diag::inet::{ExtensionFlags, InetResponse, StateFlags, nlas::Nla};

use super::scan::{Holder, Scanner};
use crate::{
    event::Task,
    source::{
        namespace,
        sock_diag::{address, list},
    },
};

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenSocket {
    netns: u32,
    local: SocketAddr,
    /// Accepts IPv4 too when it is bound to `::`.
    takes_ipv4: bool,
    inode: u64,
    /// Number of connections in its accept queue.
    waiting: u32,
}

/// All listening sockets, with the processes that hold them.
#[derive(Debug, Default)]
pub struct Listeners {
    /// Sockets by network namespace and port.
    by_port: HashMap<(u32, u16), Vec<ListenSocket>>,
    /// Holders by the socket's inode, in the order of process ids.
    holders: HashMap<u64, Vec<Holder>>,
}

/// Lists the listening sockets in the calling thread's network namespace, whose number is `netns`.
pub(crate) fn dump(netns: u32) -> io::Result<Vec<ListenSocket>> {
    let mut listening = Vec::new();
    let mut add = |response: &InetResponse| listening.push(ListenSocket::read(response, netns));
    list(&StateFlags::LISTEN, &ExtensionFlags::empty(), &mut add)?;
    Ok(listening)
}

impl Listeners {
    /// Lists the sockets of every network namespace that has a process and may be entered, and scans /proc once.
    ///
    /// This takes milliseconds, or more on a host with many descriptors. Scan once for many connections, and in the
    /// thread that drains the kernel's records only if necessary.
    pub fn scan() -> io::Result<Self> {
        let namespaces = namespace::all().map_err(io::Error::other)?;
        let tables = namespace::visit(&namespaces.visible, dump)?;
        let mut listeners = Self::new(tables.into_iter().flatten().flatten());
        listeners.find_holders(&Scanner::default());
        Ok(listeners)
    }

    /// The processes that hold the listener of this local address, by process id. Empty if there is no listener, or its
    /// processes must not be read. `netns` is the inode number of the network namespace.
    ///
    /// In a group of listeners (SO_REUSEPORT) the listener is not known. The result then has the holders of all
    /// listeners with connections in their accept queue, or of the whole group if all queues are empty.
    #[must_use]
    pub fn find(&self, netns: u32, local: SocketAddr) -> Vec<Holder> {
        let sockets = self.sockets(netns, local);
        let mut holders: Vec<_> =
            sockets.iter().filter_map(|socket| self.holders.get(&socket.inode)).flatten().copied().collect();
        holders.sort_by_key(|holder| holder.task.pid);
        holders.dedup_by_key(|holder| holder.task.pid);
        holders
    }

    /// The process to show for this local address: the first of [`Self::find`].
    #[must_use]
    pub fn process(&self, netns: u32, local: SocketAddr) -> Option<Task> {
        self.find(netns, local).first().map(|holder| holder.task)
    }

    /// These sockets, without holders yet.
    pub(crate) fn new(sockets: impl IntoIterator<Item = ListenSocket>) -> Self {
        let mut listeners = Self::default();
        for socket in sockets {
            listeners.holders.insert(socket.inode, Vec::new());
            listeners.by_port.entry((socket.netns, socket.local.port())).or_default().push(socket);
        }
        listeners
    }

    fn find_holders(&mut self, scanner: &Scanner) {
        let mut found = Vec::new();
        scanner.scan(|inode| self.wants(inode), |inode, holder| found.push((inode, holder)));
        for (inode, holder) in found {
            self.add(inode, holder);
        }
    }

    /// Whether the socket with this inode is one of these.
    pub(crate) fn wants(&self, inode: u64) -> bool {
        self.holders.contains_key(&inode)
    }

    /// Adds a holder of a wanted socket.
    pub(crate) fn add(&mut self, inode: u64, holder: Holder) {
        if let Some(holders) = self.holders.get_mut(&inode) {
            holders.push(holder);
        }
    }

    /// The candidates for the listener of a connection to this address.
    fn sockets(&self, netns: u32, local: SocketAddr) -> Vec<&ListenSocket> {
        let of_port = self.by_port.get(&(netns, local.port())).map(Vec::as_slice).unwrap_or_default();
        let best = of_port.iter().filter_map(|socket| socket.fit(local.ip())).max();
        let mut fitting: Vec<_> =
            of_port.iter().filter(|socket| best.is_some() && socket.fit(local.ip()) == best).collect();
        if fitting.iter().any(|socket| socket.waiting > 0) {
            fitting.retain(|socket| socket.waiting > 0);
        }
        fitting
    }
}

impl ListenSocket {
    fn read(response: &InetResponse, netns: u32) -> Self {
        let header = &response.header;
        let only_ipv6 = response.nlas.iter().any(|attribute| matches!(attribute, Nla::SkV6Only(true)));
        Self {
            netns,
            local: address(header.socket_id.source_address, header.socket_id.source_port),
            takes_ipv4: !only_ipv6,
            inode: header.inode.into(),
            // `sk_ack_backlog`, by `tcp_diag_get_info()`.
            waiting: header.recv_queue,
        }
    }

    /// How well the listener fits a connection to this address, as in the kernel's `compute_score()`. None if it does
    /// not accept the connection.
    fn fit(&self, ip: IpAddr) -> Option<u8> {
        const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        match self.local.ip() {
            own if own == ip => Some(3),
            IPV4 if ip.is_ipv4() => Some(2),
            IPV6 if ip.is_ipv6() || self.takes_ipv4 => Some(1),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::event::Comm;

    fn listening(local: &str, inode: u64) -> ListenSocket {
        ListenSocket { netns: 7, local: local.parse().unwrap(), takes_ipv4: false, inode, waiting: 0 }
    }

    fn holder(pid: u32) -> Holder {
        let comm = Comm::from("web");
        let task = Task { pid, tid: pid, uid: 0, comm, cgroup: 0, exiting: false, kthread: false, signal: 0 };
        Holder { task, fd: 3 }
    }

    /// The process ids that `find` returns. The process id of each socket's holder is the socket's inode.
    fn found(sockets: &[ListenSocket], local: &str) -> Vec<u32> {
        let mut listeners = Listeners::new(sockets.iter().copied());
        for socket in sockets {
            listeners.add(socket.inode, holder(u32::try_from(socket.inode).unwrap()));
        }
        listeners.find(7, local.parse().unwrap()).iter().map(|holder| holder.task.pid).collect()
    }

    #[test]
    fn the_listener_with_the_most_specific_address_is_chosen() {
        let dual = ListenSocket { takes_ipv4: true, ..listening("[::]:80", 3) };
        let all = [
            listening("10.0.0.1:80", 1),
            listening("0.0.0.0:80", 2),
            dual,
            listening("[fd00::1]:80", 4),
            listening("10.0.0.1:81", 5),
        ];
        assert_eq!(found(&all, "10.0.0.1:80"), [1]);
        assert_eq!(found(&all, "10.0.0.2:80"), [2]);
        assert_eq!(found(&all, "[fd00::1]:80"), [4]);
        assert_eq!(found(&all, "[fd00::2]:80"), [3]);
        assert_eq!(found(&all, "10.0.0.1:82"), [0; 0]);
        assert_eq!(found(&[dual], "10.0.0.1:80"), [3]);
        assert_eq!(found(&[listening("[::]:80", 3)], "10.0.0.1:80"), [0; 0]);
        let other_namespace = ListenSocket { netns: 8, ..all[0] };
        assert_eq!(found(&[other_namespace], "10.0.0.1:80"), [0; 0]);
    }

    #[test]
    fn listeners_of_a_group_with_waiting_connections_are_chosen() {
        let group = [listening("0.0.0.0:80", 9), listening("0.0.0.0:80", 8)];
        assert_eq!(found(&group, "10.0.0.1:80"), [8, 9]);
        let [busy, idle] = group;
        assert_eq!(found(&[ListenSocket { waiting: 2, ..busy }, idle], "10.0.0.1:80"), [9]);
    }

    #[test]
    fn the_process_of_a_live_listener_is_found() {
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let netns = std::fs::metadata("/proc/thread-self/ns/net")
            .map(|netns| u32::try_from(std::os::unix::fs::MetadataExt::ino(&netns)).unwrap());
        let found = Listeners::scan().unwrap().process(netns.unwrap(), socket.local_addr().unwrap());
        assert_eq!(found.map(|task| task.pid), Some(std::process::id()));
    }
}
