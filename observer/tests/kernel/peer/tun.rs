//! A TUN device in a test's network namespace. Reading gets the packets that the kernel sends to the peer's addresses.
//! Written packets reach the kernel as if from a network.
//!
//! It lives as long as the handle.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Instant;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::netns::{Netns, bring_up, request_for};
use crate::wait::{DEADLINE, eventually};

nix::ioctl_write_ptr_bad!(make_device, libc::TUNSETIFF, libc::ifreq);
nix::ioctl_write_ptr_bad!(set_address, libc::SIOCSIFADDR, libc::ifreq);
nix::ioctl_write_ptr_bad!(set_netmask, libc::SIOCSIFNETMASK, libc::ifreq);
nix::ioctl_write_ptr_bad!(set_ipv6_address, libc::SIOCSIFADDR, libc::in6_ifreq);

const NAME: &str = "wire";

/// The kernel's own addresses on the device. All other addresses of these networks (RFC 5737, RFC 3849) are behind it.
pub(crate) const HOST_IPV4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const HOST_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

const NETMASK_IPV4: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
const PREFIX_IPV6: u32 = 64;

/// More bytes than a packet has on a device with MTU 1500.
const LONGEST: usize = 2048;

pub(crate) struct Tun {
    device: File,
}

impl Tun {
    /// Makes the device with its addresses and routes.
    pub(crate) fn in_namespace(netns: &Netns) -> io::Result<Self> {
        netns.run(|| {
            let mut options = OpenOptions::new();
            let device =
                options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
            let mut request = request_for(NAME);
            request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI)
                .expect("the flags of a request are a short");
            // SAFETY: the request has a name and flags.
            unsafe { make_device(device.as_raw_fd(), &raw const request) }?;
            bring_up(NAME)?;
            give_ipv4_address()?;
            give_ipv6_address()?;
            Ok(Self { device })
        })
    }

    pub(crate) fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.device).write_all(packet)
    }

    /// The next packet from the kernel. None if none comes before `deadline`.
    pub(crate) fn read(&self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        let mut packet = vec![0; LONGEST];
        loop {
            match (&self.device).read(&mut packet) {
                Ok(length) => {
                    packet.truncate(length);
                    return Ok(Some(packet));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // Not shorter than what is left, or the last millisecond would be spent in this loop.
            let left = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            poll(&mut [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)], left)?;
        }
    }
}

fn give_ipv4_address() -> io::Result<()> {
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut request = request_for(NAME);
    // SAFETY: a sockaddr_in is a sockaddr, and each request has a name and an address.
    unsafe {
        request.ifr_ifru.ifru_addr = sockaddr(HOST_IPV4);
        set_address(any.as_raw_fd(), &raw const request)?;
        request.ifr_ifru.ifru_netmask = sockaddr(NETMASK_IPV4);
        set_netmask(any.as_raw_fd(), &raw const request)?;
    }
    Ok(())
}

fn sockaddr(address: Ipv4Addr) -> libc::sockaddr {
    let sin_family = libc::sa_family_t::try_from(libc::AF_INET).expect("a family is a short");
    let sin_addr = libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) };
    let address = libc::sockaddr_in { sin_family, sin_port: 0, sin_addr, sin_zero: [0; 8] };
    const { assert!(size_of::<libc::sockaddr_in>() == size_of::<libc::sockaddr>()) };
    // SAFETY: both are plain data of one size, and the kernel reads the one as the other.
    unsafe { std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(address) }
}

/// No duplicate of the address is looked for, since such a device has no neighbours to ask. But the kernel finds that out
/// in a worker of its own, and until then it does not use the address.
fn give_ipv6_address() -> io::Result<()> {
    let any = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let index = nix::net::if_::if_nametoindex(NAME)?;
    let request = libc::in6_ifreq {
        ifr6_addr: libc::in6_addr { s6_addr: HOST_IPV6.octets() },
        ifr6_prefixlen: PREFIX_IPV6,
        ifr6_ifindex: libc::c_int::try_from(index).expect("an index is an int"),
    };
    // SAFETY: the request is whole.
    unsafe { set_ipv6_address(any.as_raw_fd(), &raw const request) }?;
    eventually(DEADLINE, || is_usable(HOST_IPV6).then_some(())).ok_or_else(|| Errno::ETIME.into())
}

/// Whether the calling thread's namespace has this address, and no check of it is pending.
fn is_usable(address: Ipv6Addr) -> bool {
    let digits = format!("{:032x}", address.to_bits());
    let table = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    table.lines().any(|line| {
        // Address, index, prefix, scope, flags, name; the numbers in hexadecimal.
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let flags = words.get(4).and_then(|flags| u32::from_str_radix(flags, 16).ok());
        words.first() == Some(&digits.as_str())
            && flags.is_some_and(|flags| flags & libc::IFA_F_TENTATIVE == 0)
    })
}
