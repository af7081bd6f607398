//! Name resolution: the machine's own, but for `localhost` and the names below it, which are
//! loopback by definition (RFC 6761 section 6.3) and which glibc asks DNS for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The name does not resolve.
#[derive(Debug, thiserror::Error)]
#[error("the name is not known to DNS")]
struct UnknownName;

/// The resolver of every client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let addresses = addresses(&host, 0).await?;
            if addresses.is_empty() {
                return Err(UnknownName.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The addresses of a host, the preferred one first.
pub(super) async fn addresses(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let host = host.trim_end_matches('.').trim_start_matches('[').trim_end_matches(']');
    let host = host.to_ascii_lowercase();
    if is_localhost(&host) {
        return Ok(loopback_addresses().map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect())
}

fn is_localhost(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

fn loopback_addresses() -> [IpAddr; 2] {
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_below_localhost_are_this_machine() {
        for host in ["localhost", "LOCALHOST", "acme.my.localhost", "test.localhost."] {
            let name = host.parse().unwrap();
            let addresses: Vec<SocketAddr> = Resolver.resolve(name).await.unwrap().collect();
            assert_eq!(addresses, loopback_addresses().map(|ip| SocketAddr::new(ip, 0)), "{host}");
        }
        assert!(!is_localhost("evillocalhost"));
    }
}
