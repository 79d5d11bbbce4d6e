//! `freeze` of a policy, and the kind `Freeze`.

use jiff::Timestamp;
use tidegate_api::FreezeSpec;
use tidegate_api::policy::GateName;

use super::{FreezeFacts, Line, Question};
use crate::policy::{ApplicationFacts, CompiledPolicy};
use crate::selector::{selects, selects_or_lacks};

/// Whether a Freeze of this namespace stops an Application. One in the operator's own namespace stops those of all.
pub fn stops(spec: &FreezeSpec, namespace: &str, operator_namespace: &str, app: &ApplicationFacts) -> bool {
    let everywhere = namespace == operator_namespace;
    (everywhere || namespace == app.namespace) && picks(spec, everywhere, app)
}

/// Whether the selector of a Freeze picks an Application. One for all namespaces picks those too that lack the label: whoever
/// may label an Application could else take it out.
fn picks(spec: &FreezeSpec, everywhere: bool, app: &ApplicationFacts) -> bool {
    let selector = spec.selector.as_ref();
    if everywhere {
        selects_or_lacks(selector, &app.labels)
    } else {
        selects(selector, &app.labels)
    }
}

/// What the freeze of a policy says; nothing without one.
pub(super) fn ask(policy: &CompiledPolicy, now: Timestamp) -> Option<Line> {
    let freeze = policy.policy.freeze.as_ref()?;
    let name = policy.name.to_string();
    let end = End::of(freeze.until.as_deref());
    if let End::At(end) = end
        && end <= now
    {
        return Some(Line::open(
            &name,
            GateName::Freeze,
            format!("the freeze ended at {end}"),
            None,
        ));
    }
    let message = format!(
        "frozen until {}: {}",
        end.shown("spec.freeze is taken out of the policy"),
        freeze.reason
    );
    Some(Line::closed(
        &name,
        GateName::Freeze,
        "Frozen",
        message,
        end.time(),
    ))
}

/// One line for each Freeze that stops the Application. It stops whoever made it: closing is safe.
pub(super) fn ask_freezes(question: &Question<'_>, now: Timestamp) -> Vec<Line> {
    let stop = question
        .freezes
        .iter()
        .filter(|f| picks(&f.spec, f.everywhere, question.application));
    stop.filter_map(|freeze| ask_one(freeze, question, now)).collect()
}

fn ask_one(freeze: &FreezeFacts, question: &Question<'_>, now: Timestamp) -> Option<Line> {
    let (name, spec) = (&freeze.name, &freeze.spec);
    let end = End::of(spec.until.as_deref());
    if let End::At(end) = end
        && end <= now
    {
        return None;
    }
    let place = if freeze.everywhere {
        ", as all namespaces are,"
    } else {
        ""
    };
    let doubt = if question.unguarded.is_some() {
        " (not certain)"
    } else {
        ""
    };
    let message = format!(
        "frozen{place} by {}{doubt} until {}: {}",
        spec.by,
        end.shown(&format!("Freeze {name} is deleted")),
        spec.reason
    );
    Some(Line::closed(
        &line_name(name),
        GateName::Freeze,
        "Frozen",
        message,
        end.time(),
    ))
}

/// What stands for the policy of such a line.
pub(super) fn line_name(freeze: &str) -> String {
    format!("Freeze/{freeze}")
}

/// When a freeze ends. A text that is no time ends nothing.
enum End<'a> {
    At(Timestamp),
    Unreadable(&'a str),
    Open,
}

impl<'a> End<'a> {
    fn of(until: Option<&'a str>) -> Self {
        match until.map(|text| (text, text.parse::<Timestamp>())) {
            None => Self::Open,
            Some((_, Ok(time))) => Self::At(time),
            Some((text, Err(_))) => Self::Unreadable(text),
        }
    }

    fn time(&self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(*time),
            Self::Unreadable(_) | Self::Open => None,
        }
    }

    fn shown(&self, otherwise: &str) -> String {
        match self {
            Self::At(time) => time.to_string(),
            Self::Unreadable(text) => format!("{otherwise}, since its end, {text}, is no time"),
            Self::Open => otherwise.to_owned(),
        }
    }
}
