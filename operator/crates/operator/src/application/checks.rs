//! `verification` of policies within a release: after everything is healthy and the `PostSync` hooks have succeeded, the
//! checks must hold for a time. The answers are `core::verification`'s, the requests `crate::verification`'s.

use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::condition::SYNCED;
use tidegate_core::desired::Rendered;
use tidegate_core::status::Progress;
use tidegate_core::verification::{Checks, Verdict, Watch, demanded, judge};

use crate::application::AppState;
use crate::application::turn::Turn;
use crate::state::Again;
use crate::verification::{About, ask};

/// Reason of a release whose checks did not hold.
pub(crate) const VERIFICATION_FAILED: &str = "VerificationFailed";
/// Longest and shortest time between two rounds.
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(10);

/// How far a release is with its checks.
pub(crate) struct Watching {
    release: String,
    watch: Watch,
}

/// What the checks of a healthy release come to.
pub(crate) enum Held {
    /// They have held for long enough, or there are none.
    Good,
    /// Not yet; for people, and when to look again.
    Waits(String, Again),
    /// They did not; what was measured.
    Failed(String),
}

/// Looks at the checks of the open release, which is healthy.
pub(crate) fn hold(turn: &Turn<'_>, state: &mut AppState, now: Timestamp) -> Held {
    let Some(open) = &state.open else {
        return Held::Good;
    };
    let operator = turn.operator;
    let facts = operator
        .policies
        .facts(turn.key, turn.app.metadata.labels.as_ref());
    let Some(checks) = demanded(&operator.policies.binding(&facts)) else {
        return Held::Good;
    };
    let about = About {
        key: turn.key.clone(),
        release: open.name.clone(),
    };
    let watching = state.watching.take().filter(|w| w.release == about.release);
    let mut watching = watching.unwrap_or_else(|| Watching {
        release: about.release.clone(),
        watch: Watch::begin(now),
    });
    let held = look(turn, &about, &checks, &mut watching.watch, now);
    match held {
        Held::Waits(..) => state.watching = Some(watching),
        Held::Good | Held::Failed(_) => operator.checker.forget(turn.key),
    }
    held
}

fn look(turn: &Turn<'_>, about: &About, checks: &Checks, watch: &mut Watch, now: Timestamp) -> Held {
    if checks.ask_nothing() {
        return held(judge(checks, watch, &[], now), Again::Never);
    }
    let Some(round) = turn.operator.checker.last(about) else {
        ask(turn.operator, about, checks);
        return Held::Waits("the checks are made".to_owned(), Again::Never);
    };
    let verdict = judge(checks, watch, &round.measured, round.at);
    let often = (checks.stable_for / 5).clamp(OFTEN, SELDOM);
    let next = round.at.checked_add(often).unwrap_or(now);
    if now < next {
        return held(verdict, Again::at(next));
    }
    if matches!(verdict, Verdict::Wait { .. }) {
        ask(turn.operator, about, checks);
    }
    held(verdict, Again::Never)
}

/// With requests to make, a round decides, and when the next one is due is known already.
fn held(verdict: Verdict, next: Again) -> Held {
    match verdict {
        Verdict::Good => Held::Good,
        Verdict::Failed { message } => Held::Failed(message),
        Verdict::Wait { message, until } => Held::Waits(message, next.sooner(Again::at(until))),
    }
}

/// Health is lost: what was measured counts no more.
pub(crate) fn lose(turn: &Turn<'_>, state: &mut AppState) {
    if let Some(watching) = &mut state.watching {
        watching.watch.lose();
        turn.operator.checker.forget(turn.key);
    }
}

/// The checks of that very set did not hold, as the status says, and nobody has asked for another try.
pub(crate) fn failed_before(turn: &Turn<'_>, rendered: &Rendered) -> Option<Progress> {
    let status = turn.app.status.as_ref()?;
    let synced = status.conditions.iter().find(|c| c.type_ == SYNCED)?;
    let same = status.attempted_digest.as_deref() == Some(rendered.digest.as_str());
    (same && synced.reason == VERIFICATION_FAILED).then(|| Progress::Failed {
        reason: VERIFICATION_FAILED,
        message: synced.message.clone(),
        stalled: true,
    })
}
