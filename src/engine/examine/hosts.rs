//! The hosts that credentials sign in at and work with: whether they are reached from here, and
//! whether the clocks agree. Asked without any token.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt};

use super::{certificates, finding};
use crate::domain::fault::Fault;
use crate::domain::host::{HostPolicy, LoginUrl, host_of};
use crate::domain::http::{Response, ShownCertificate};
use crate::domain::http_time::ClockOffset;
use crate::engine::error::Error;
use crate::engine::outcome::{Finding, Subject, Verdict};
use crate::engine::save::account_to_sign_in;
use crate::engine::{Engine, Outcome};
use crate::oauth::rest;
use crate::store;

/// Hosts asked at once.
const AT_ONCE: usize = 32;
/// Up to so many hosts are told one by one, also where nothing is wrong with them.
const TOLD_ALONE: usize = 5;

/// What came of asking a host.
struct Asked {
    host: String,
    answer: Result<(Response, u128), Fault>,
    certificate: Option<ShownCertificate>,
}

impl Engine {
    /// The host names and ports that a firewall has to let through, each once, by name.
    pub(in crate::engine) async fn hosts(&self) -> Result<Outcome, Error> {
        let mut hosts: Vec<String> = self.urls_in_use().await?.into_keys().collect();
        hosts.sort();
        Ok(Outcome::Hosts(hosts))
    }

    /// Asks each host once, and says what is wrong with the way to it.
    pub(in crate::engine) async fn examine_hosts(&self) -> Result<Outcome, Error> {
        let urls = self.urls_in_use().await?;
        if urls.is_empty() {
            let text = "no host is asked: nothing is saved yet";
            return Ok(Outcome::Examined(vec![super::ok(Subject::Host, text)]));
        }
        let asked: Vec<Asked> = futures_util::stream::iter(urls)
            .map(|(host, url)| self.ask_host(host, url))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut findings = told(&asked);
        let shown =
            asked.iter().filter_map(|one| Some((one.host.as_str(), one.certificate.as_ref()?)));
        findings.extend(certificates::told(&shown.collect::<Vec<_>>()));
        findings.extend(clock(&asked));
        Ok(Outcome::Examined(findings))
    }

    async fn ask_host(&self, host: String, url: LoginUrl) -> Result<Asked, Error> {
        let (certificate, way) = self.http()?.certificate(url.as_str()).await;
        let begun = Instant::now();
        let answer = match way {
            Ok(()) => self.ask(rest::versions_request_at(&url)).await?,
            // A second try would wait as long for the same.
            Err(error) => Err(Fault::from(&error)),
        };
        let answer = answer.map(|response| (response, begun.elapsed().as_millis()));
        Ok(Asked { host, answer, certificate })
    }

    /// Every host with its port, and its address.
    async fn urls_in_use(&self) -> Result<BTreeMap<String, LoginUrl>, Error> {
        let policy = self.settings.config.host_policy();
        let urls = self.store.call(urls).await?;
        Ok(urls.into_iter().filter_map(|url| with_host(&url, &policy)).collect())
    }
}

/// A host by the name and port that a firewall knows. What a token would not be sent to is not
/// asked either.
fn with_host(url: &str, policy: &HostPolicy) -> Option<(String, LoginUrl)> {
    let url = LoginUrl::parse(url, policy).ok()?;
    let host = host_of(url.as_str());
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:443") };
    Some((host, url))
}

fn urls(store: &mut store::Store) -> Result<Vec<String>, store::Error> {
    let mut urls = Vec::new();
    store.each_credential(|row| {
        urls.push(row.credential.login_url.to_string());
        urls.push(account_to_sign_in(&row.credential).login_url.to_string());
        urls.extend(row.credential.token.map(|token| token.instance_url.to_string()));
    })?;
    urls.sort();
    urls.dedup();
    Ok(urls)
}

/// Whatever is wrong, host by host; what is well, in one line where there are many.
fn told(asked: &[Asked]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut well = Vec::new();
    for Asked { host, answer, .. } in asked {
        match answer {
            Ok((response, _)) if response.status >= 500 => findings.push(finding(
                Subject::Host,
                Verdict::Look,
                format!("{host} answers with HTTP {}", response.status),
                "status.salesforce.com tells what is known of the instance",
            )),
            Ok((_, took)) => well.push((host, took)),
            Err(fault) => {
                findings.push(finding(
                    Subject::Host,
                    Verdict::Wrong,
                    fault.message(),
                    fault.remedy(),
                ));
            }
        }
    }
    if well.len() > TOLD_ALONE {
        let slowest = well.iter().max_by_key(|(_, took)| **took);
        let slowest =
            slowest.map_or_else(String::new, |(host, took)| format!("; {host} took {took} ms"));
        let text = format!("{} hosts answer{slowest}", well.len());
        findings.push(super::ok(Subject::Host, text));
    } else {
        findings.extend(
            well.into_iter().map(|(host, took)| {
                super::ok(Subject::Host, format!("{host} answers ({took} ms)"))
            }),
        );
    }
    findings
}

/// Whether this machine's clock agrees with theirs; nothing where none told the time.
fn clock(asked: &[Asked]) -> Option<Finding> {
    let mut times = asked
        .iter()
        .filter_map(|asked| asked.answer.as_ref().ok().map(|(response, _)| (asked, response)))
        .filter(|(_, response)| response.date.is_some());
    let first = times.next()?;
    let off = std::iter::once(first)
        .chain(times)
        .find_map(|(asked, response)| Some((asked, response.clock_offset()?)));
    Some(match off {
        Some((asked, offset)) => {
            let text = format!("{offset} ({})", asked.host);
            finding(Subject::Clock, Verdict::Look, text, ClockOffset::REMEDY)
        }
        None => super::ok(Subject::Clock, "the clock agrees with the hosts' to two minutes"),
    })
}
