//! The conditions of `observer half-closed`.

use super::HalfClosed;
use crate::{
    event::{Comm, Endpoints},
    filter::{AddressFilter, is_in_cgroup},
    owner::Cgroups,
    words::Side,
};

/// Conditions on a connection. A condition that is None always holds.
#[derive(Debug, Clone, Default)]
pub struct HalfClosedFilter {
    /// The side that has sent a FIN.
    pub side: Option<Side>,
    /// Process id of an owner.
    pub pid: Option<u32>,
    /// Process name of an owner. All conditions on owners must hold for the same owner.
    pub comm: Option<Comm>,
    /// systemd unit of an owner.
    pub unit: Option<String>,
    /// Id or name of an owner's container, or the beginning of one.
    pub container: Option<String>,
    /// Address or port of this host's end.
    pub local: Option<AddressFilter>,
    /// Address or port of the peer's end.
    pub remote: Option<AddressFilter>,
    /// Port of either end.
    pub port: Option<u16>,
}

impl HalfClosedFilter {
    /// Whether all conditions hold. The owner for which they hold becomes the first, so that it is the one shown.
    pub fn keep(&self, socket: &mut HalfClosed, cgroups: &mut Cgroups) -> bool {
        let fits = |filter: Option<AddressFilter>, end| filter.is_none_or(|filter| filter.fits(end));
        let Endpoints { local, remote, .. } = socket.endpoints;
        self.side.is_none_or(|side| side == socket.side)
            && fits(self.local, local)
            && fits(self.remote, remote)
            && self.port.is_none_or(|port| port == local.port() || port == remote.port())
            && self.keep_owner(socket, cgroups)
    }

    fn keep_owner(&self, socket: &mut HalfClosed, cgroups: &mut Cgroups) -> bool {
        let Self { pid, comm, unit, container, .. } = self;
        if pid.is_none() && comm.is_none() && unit.is_none() && container.is_none() {
            return true;
        }
        socket.owner.prefer(|task| {
            pid.is_none_or(|pid| pid == task.pid)
                && comm.is_none_or(|comm| comm == task.comm)
                && is_in_cgroup(task, unit.as_deref(), container.as_deref(), cgroups)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::half_closed::{
        Owner,
        fixtures::{end, holder, leaked, orphan, unaccepted},
    };

    #[test]
    fn an_address_filter_is_an_address_a_port_or_both() {
        let fits = |filter: &str, ends: &str| {
            let filter =
                HalfClosedFilter { local: Some(filter.parse().unwrap()), ..HalfClosedFilter::default() };
            let endpoints = Endpoints { local: end(ends), ..leaked().endpoints };
            filter.keep(&mut HalfClosed { endpoints, ..leaked() }, &mut Cgroups::none())
        };
        for filter in ["10.0.0.1", "10.0.0.1:443", ":443", "::ffff:10.0.0.1"] {
            assert!(fits(filter, "10.0.0.1:443"), "{filter}");
        }
        for filter in ["10.0.0.2", "10.0.0.1:80", ":80", "::1"] {
            assert!(!fits(filter, "10.0.0.1:443"), "{filter}");
        }
        for filter in ["::1", "[::1]", "[::1]:80", ":80"] {
            assert!(fits(filter, "[::1]:80"), "{filter}");
        }
        for wrong in ["", ":", "80", ":x", ":65536", "host:80", "10.0.0.1:"] {
            assert!(wrong.parse::<AddressFilter>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_holder_that_fits_becomes_the_first() {
        let shared = vec![holder(1, "parent", 5), holder(2, "child", 6)];
        let shared = HalfClosed { owner: Owner::Holders(shared), ..leaked() };
        let keep = |pid, comm: Option<&str>| {
            let mut socket = shared.clone();
            let filter = HalfClosedFilter { pid, comm: comm.map(Comm::from), ..HalfClosedFilter::default() };
            let keep = filter.keep(&mut socket, &mut Cgroups::none());
            keep.then(|| socket.owner.holders().first().map(|holder| holder.fd)).flatten()
        };
        assert_eq!(keep(None, None), Some(5));
        assert_eq!(keep(Some(2), None), Some(6));
        assert_eq!(keep(None, Some("child")), Some(6));
        assert_eq!(keep(Some(1), Some("child")), None);
        assert_eq!(keep(Some(3), None), None);
    }

    #[test]
    fn side_and_port_are_compared() {
        let keeps = |filter: HalfClosedFilter| filter.keep(&mut leaked(), &mut Cgroups::none());
        let by_side = |side| keeps(HalfClosedFilter { side: Some(side), ..HalfClosedFilter::default() });
        assert_eq!((by_side(Side::Remote), by_side(Side::Local)), (true, false));
        let Endpoints { local, remote, .. } = leaked().endpoints;
        let by_port = |port| keeps(HalfClosedFilter { port: Some(port), ..HalfClosedFilter::default() });
        assert_eq!([local.port(), remote.port(), 1].map(by_port), [true, true, false]);
    }

    #[test]
    fn listeners_and_closers_are_compared_as_holders_are() {
        let closer = HalfClosed { owner: Owner::Closer(holder(12, "nginx", 0).task), ..orphan() };
        for mut socket in [unaccepted(), closer] {
            let mut keeps = |pid| {
                let filter = HalfClosedFilter { pid: Some(pid), ..HalfClosedFilter::default() };
                filter.keep(&mut socket, &mut Cgroups::none())
            };
            assert_eq!((keeps(12), keeps(13)), (true, false));
        }
    }

    #[test]
    fn a_unit_does_not_fit_an_unknown_cgroup() {
        let filter =
            HalfClosedFilter { unit: Some("nginx.service".to_owned()), ..HalfClosedFilter::default() };
        assert!(!filter.keep(&mut leaked(), &mut Cgroups::none()));
    }
}
