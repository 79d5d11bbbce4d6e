//! Overrides: gates that people open for a while. Each policy says itself who may open what of it; what no policy is behind
//! (a Freeze, a quarantine) is opened only as every policy that matches says.

use jiff::Timestamp;
use tidegate_api::OverrideSpec;
use tidegate_api::policy::{GateName, Overrides};
use tidegate_api::release::GateDecision;

use super::approvals::is_no_person;
use super::{Line, Question};
use crate::duration;
use crate::policy::{ApplicationFacts, CompiledPolicy, PolicyName};

/// Most Overrides that a message names.
const NAMED: usize = 3;

/// Whether an Override of this namespace is about an Application. Only in the operator's own namespace may it be about one
/// of another.
pub fn is_about(
    spec: &OverrideSpec,
    namespace: &str,
    operator_namespace: &str,
    app: &ApplicationFacts,
) -> bool {
    let of = spec.namespace.as_deref().unwrap_or(namespace);
    let may_name_it = of == namespace || namespace == operator_namespace;
    may_name_it && of == app.namespace && spec.application == app.name
}

/// Opens the closed lines that an Override opens. A policy that cannot be used, and a demand for one, stay closed.
pub(super) fn open(lines: &mut [Line], question: &Question<'_>, now: Timestamp) {
    for line in lines.iter_mut().filter(|l| l.decision == GateDecision::Closed) {
        let Some(gate) = line.gate else { continue };
        let asked = Asked::of(line, gate, question);
        match asked.by_any(question, now) {
            Ok(None) => {}
            Ok(Some(opened)) => {
                line.decision = GateDecision::Overridden;
                line.message = format!(
                    "overridden by {} until {}: {}. Without Override {}: {}",
                    opened.spec.requester, opened.until, opened.spec.reason, opened.name, line.message
                );
                line.reason = "Overridden";
                line.until = Some(opened.until);
            }
            Err(whys) => line.message = format!("{}; {whys}", line.message),
        }
    }
}

/// What one line asks of an Override.
struct Asked<'a> {
    gate: GateName,
    policies: Vec<&'a CompiledPolicy>,
    /// Why no policy has a say, where none has.
    nobody: Option<&'static str>,
}

struct Opened<'a> {
    name: &'a str,
    spec: &'a OverrideSpec,
    until: Timestamp,
}

impl<'a> Asked<'a> {
    fn of(line: &Line, gate: GateName, question: &'a Question<'_>) -> Self {
        let all = || question.policies.iter().map(AsRef::as_ref);
        let own: Vec<_> = all().filter(|p| p.name.to_string() == line.policy).collect();
        if !own.is_empty() {
            return Self {
                gate,
                policies: own,
                nobody: None,
            };
        }
        let everywhere = question
            .freezes
            .iter()
            .any(|f| f.everywhere && super::freeze::line_name(&f.name) == line.policy);
        // A tenant's own policy must not open what was closed for all.
        let has_say = |p: &&CompiledPolicy| !everywhere || matches!(p.name, PolicyName::Cluster(_));
        let nobody = match (all().any(|p| has_say(&p)), everywhere) {
            (true, _) => None,
            (false, true) => Some(
                "no ClusterReleasePolicy matches, and only one can say who may override a Freeze of all namespaces",
            ),
            (false, false) => Some("no policy matches that could say who may override it"),
        };
        // In one order, so that the same one is named whatever the order of the policies.
        let mut policies: Vec<_> = all().collect();
        policies.sort_by_key(|p| &p.name);
        Self {
            gate,
            policies,
            nobody,
        }
    }

    /// The Override that opens it for longest; why those that name this gate do not.
    fn by_any(&self, question: &'a Question<'_>, now: Timestamp) -> Result<Option<Opened<'a>>, String> {
        let mut best: Option<Opened<'a>> = None;
        let mut whys = Vec::new();
        let mut all: Vec<_> = question
            .overrides
            .iter()
            .filter(|o| o.spec.gates.contains(&self.gate))
            .collect();
        all.sort_by_key(|o| (o.created, &o.name));
        for made in all {
            let until = match made.spec.until.parse::<Timestamp>() {
                Ok(until) if until <= now => continue,
                Ok(until) => until,
                Err(_) => {
                    whys.push(format!(
                        "Override {} does not count: its end, {}, is no time",
                        made.name, made.spec.until
                    ));
                    continue;
                }
            };
            if let Err(why) = self.allows(question, &made.spec, made.created, until) {
                whys.push(format!(
                    "Override {} by {} does not count: {why}",
                    made.name, made.spec.requester
                ));
                continue;
            }
            if best.as_ref().is_none_or(|best| until > best.until) {
                best = Some(Opened {
                    name: &made.name,
                    spec: &made.spec,
                    until,
                });
            }
        }
        if best.is_some() || whys.is_empty() {
            return Ok(best);
        }
        let more = whys.len().saturating_sub(NAMED);
        whys.truncate(NAMED);
        let more = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        Err(format!("{}{more}", whys.join("; ")))
    }

    fn allows(
        &self,
        question: &Question<'_>,
        spec: &OverrideSpec,
        created: Timestamp,
        until: Timestamp,
    ) -> Result<(), String> {
        if let Some(why) = question.unguarded {
            return Err(format!("it is not certain who made it: {why}"));
        }
        if question.guarded_since.is_some_and(|since| created < since) {
            return Err(
                "it was made before the API server guaranteed who makes Overrides; make it anew".to_owned(),
            );
        }
        if spec.application != question.application.name {
            return Err(format!("it is about Application {}", spec.application));
        }
        if let Some(why) = self.nobody {
            return Err(why.to_owned());
        }
        for policy in &self.policies {
            let name = &policy.name;
            let Some(rules) = policy.policy.overrides.as_ref() else {
                return Err(format!(
                    "{name} has no `overrides`, and so lets nobody open anything"
                ));
            };
            by_rules(rules, self.gate, spec, created, until).map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(())
    }
}

fn by_rules(
    rules: &Overrides,
    gate: GateName,
    spec: &OverrideSpec,
    created: Timestamp,
    until: Timestamp,
) -> Result<(), String> {
    if !rules.gates.contains(&gate) {
        let gates: Vec<&str> = rules.gates.iter().map(|g| g.as_str()).collect();
        return Err(format!(
            "spec.overrides.gates does not name {}, only {}",
            gate.as_str(),
            gates.join(", ")
        ));
    }
    let named = rules.users.contains(&spec.requester);
    let anybody = rules.users.is_empty() && rules.groups.is_empty();
    let in_group = spec.groups.iter().any(|group| rules.groups.contains(group));
    if !named && is_no_person(&spec.requester) {
        return Err(format!(
            "{} is no person, and spec.overrides.users does not name it",
            spec.requester
        ));
    }
    if !named && !anybody && !in_group {
        let who: Vec<&str> = rules
            .groups
            .iter()
            .chain(&rules.users)
            .map(String::as_str)
            .collect();
        return Err(format!(
            "only {} may; an Override counts for a group that its spec.groups names",
            who.join(", ")
        ));
    }
    let Some(longest) = rules.max_duration.as_deref() else {
        return Ok(());
    };
    let most = duration::parse(longest).map_err(|why| format!("spec.overrides.maxDuration: {why}"))?;
    let too_long = created.checked_add(most).is_ok_and(|end| until > end);
    if too_long {
        return Err(format!(
            "it lasts until {until}, and at most {longest} from {created} are allowed"
        ));
    }
    Ok(())
}
