//! Which addresses the checks of policies may ask. A check is written by whoever writes a policy, and asked from the
//! operator's place in the network: without rules it would be a way into it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Rules that the platform team sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    hosts: Vec<String>,
    nets: Vec<Net>,
}

/// Addresses with a common beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Net {
    base: IpAddr,
    bits: u8,
}

impl Addresses {
    /// Reads the rules: a host, `*.` with the rest of a host for all below it, an address, or a range such as
    /// `10.0.0.0/8`.
    ///
    /// # Errors
    /// Names the rule that cannot be read.
    pub fn read(rules: &[String]) -> Result<Self, String> {
        let mut addresses = Self::default();
        for rule in rules {
            let rule = rule.trim().to_ascii_lowercase();
            match (Net::read(&rule), is_host(&rule)) {
                (Some(net), _) => addresses.nets.push(net),
                (None, true) => addresses.hosts.push(rule),
                (None, false) => {
                    return Err(format!(
                        "`{rule}` is no host, such as prometheus.monitoring.svc or *.svc, and no range, such as 10.0.0.0/8"
                    ));
                }
            }
        }
        Ok(addresses)
    }

    /// Whether a host may be asked at this address, which is what its name came to. Loopback, link-local (where clouds
    /// keep credentials), multicast and unspecified addresses only by a range of their own, whatever the name.
    ///
    /// # Errors
    /// What to do to allow it.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), String> {
        let inner = unwrapped(address);
        let special = is_special(inner);
        let ranged = |net: &Net| net.has(inner) && (!special || net.is_special());
        let named = !special && self.names(host);
        if named || self.nets.iter().any(ranged) {
            return Ok(());
        }
        let what = if special { "its address" } else { "host or address" };
        Err(format!(
            "{host} may not be asked: {what} {address} is not among the addresses that the platform team allows (--check-addresses, verification.allowedAddresses of the chart)"
        ))
    }

    /// Whether a host stands in the rules by name. An address is no name.
    fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let matches = |rule: &String| match rule.strip_prefix('*') {
            // With its dot, so that `*.svc` is not `evilsvc`.
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => host == *rule,
        };
        !literal && self.hosts.iter().any(matches)
    }
}

fn is_host(rule: &str) -> bool {
    let rest = rule.strip_prefix("*.").unwrap_or(rule);
    let label = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    // Digits alone are half an address.
    rest.len() <= 253 && rest.split('.').all(label) && rest.chars().any(|c| c.is_ascii_alphabetic())
}

impl Net {
    fn read(rule: &str) -> Option<Self> {
        let (base, bits) = match rule.split_once('/') {
            Some((base, bits)) => (base.parse().ok()?, bits.parse().ok()?),
            None => {
                let base: IpAddr = rule.parse().ok()?;
                (base, if base.is_ipv4() { 32 } else { 128 })
            }
        };
        let most = if matches!(base, IpAddr::V4(_)) { 32 } else { 128 };
        (bits <= most).then_some(Self { base, bits })
    }

    fn has(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }

    /// True when it is meant for special addresses: a range of everything is not.
    fn is_special(&self) -> bool {
        self.bits >= 8 && is_special(self.base)
    }
}

/// The address that one of version 6 stands for, where it carries one of version 4.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else {
        return address;
    };
    let parts = six.segments();
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // Mapped, translated (RFC 6052, RFC 8215), 6to4, and the old form that is compatible with version 4.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, .., high, low] => four(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => four(high, low),
        [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            four.is_loopback()
                || four.is_link_local()
                || four.is_multicast()
                || four.is_broadcast()
                || four.octets()[0] == 0
                // Where clouds keep credentials, beside link-local.
                || [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]].contains(&four.octets())
        }
        IpAddr::V6(six) => {
            six.is_loopback()
                || six.is_multicast()
                || six.is_unspecified()
                || six.segments()[0] & 0xffc0 == 0xfe80
                || six == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(rules: &[&str], host: &str, address: &str) -> bool {
        let rules: Vec<String> = rules.iter().map(|r| (*r).to_owned()).collect();
        let addresses = Addresses::read(&rules).unwrap();
        addresses.check(host, address.parse().unwrap()).is_ok()
    }

    #[test]
    fn names_and_ranges_allow_what_they_say() {
        let svc = ["*.svc", "prometheus.example.com"];
        for (host, good) in [
            ("prometheus.monitoring.svc", true),
            ("Prometheus.Monitoring.SVC.", true),
            ("prometheus.example.com", true),
            ("evilsvc", false),
            (".svc", false),
            ("svc", false),
            ("prometheus.monitoring", false),
            ("x.prometheus.example.com", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(may(&svc, host, "10.0.0.1"), good, "{host}");
        }
        assert!(may(&["10.0.0.0/8"], "anything.example.com", "10.9.8.7"));
        assert!(may(&["10.0.0.0/8"], "10.9.8.7", "10.9.8.7"));
        assert!(!may(&["10.0.0.0/8"], "anything.example.com", "11.0.0.1"));
        assert!(may(&["2001:db8::/32"], "h.example", "2001:db8::1"));
        assert!(!may(&[], "prometheus.monitoring.svc", "10.0.0.1"));
    }

    #[test]
    fn special_addresses_need_a_range_of_their_own_whatever_the_name() {
        for address in [
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
        ] {
            assert!(
                !may(&["*.svc", "0.0.0.0/0", "::/0"], "rebound.svc", address),
                "{address}"
            );
        }
        assert!(may(&["127.0.0.0/8"], "127.0.0.1", "127.0.0.1"));
        assert!(may(&["127.0.0.1"], "localhost", "127.0.0.1"));
        assert!(may(&["127.0.0.0/8"], "h.svc", "::ffff:127.0.0.1"));
        assert!(may(&["169.254.169.254"], "h", "169.254.169.254"));
        assert!(!may(&["169.254.169.254"], "h", "169.254.169.253"));
        assert!(may(&["::1"], "[::1]", "::1"));
    }

    #[test]
    fn what_is_neither_is_named() {
        for rule in [
            "",
            "*",
            "http://x",
            "10.0.0.0/33",
            "a..b",
            "10.0.0",
            "x:80",
            "*svc",
        ] {
            let read = Addresses::read(&[rule.to_owned()]);
            assert!(read.is_err(), "{rule:?}: {read:?}");
        }
    }
}
