//! One exchange on the wire, the same for a refresh and a sign-in: room for the answer, a
//! connection, the intent, the request, and the answer on the disk before it is even read.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::http::{Request, Response, TransportError};
use crate::engine::error::Error;
use crate::engine::inbox::AnswerSlot;
use crate::engine::keyring::run_blocking;
use crate::engine::outcome::Progress;
use crate::engine::{Engine, Reporter};
use crate::store::IntentRow;
use crate::vault::data_key::SealPreparation;
use crate::{platform, store};

/// Between two attempts to save an answer that is nowhere but in memory.
const RESCUE_INTERVAL: Duration = Duration::from_secs(2);

/// What came of a request.
pub(super) struct Exchanged {
    /// The answer, or why there is none.
    pub(super) answer: Result<Response, TransportError>,
    /// From the first byte sent to the last byte read.
    pub(super) latency: Duration,
    slot: Arc<AnswerSlot>,
    /// Whether the answer is on the disk, in its slot or in an emergency file.
    is_kept: bool,
}

/// How a request is carried.
struct Carried {
    /// To be committed before it leaves.
    intent: Option<IntentRow>,
    /// Which answers have to be durable before they are read.
    keeps: fn(&Response) -> bool,
}

impl Exchanged {
    /// Empties the slot.
    pub(super) async fn clear(&self) -> Result<(), Error> {
        let slot = Arc::clone(&self.slot);
        run_blocking(move || Ok(slot.clear()?)).await
    }
}

impl Engine {
    /// Carries a request that spends a grant. Until `intent` is committed nothing was sent.
    pub(super) async fn exchange(
        &self,
        request: Request,
        slot: AnswerSlot,
        intent: IntentRow,
        reporter: &Reporter,
    ) -> Result<Exchanged, Error> {
        let carried = Carried { intent: Some(intent), keeps: |_| true };
        self.carry(request, slot, carried, reporter).await
    }

    /// Carries a poll: `intent` is none where it stands already, and an answer that `keeps` does
    /// not want is written nowhere.
    pub(super) async fn poll_exchange(
        &self,
        request: Request,
        slot: AnswerSlot,
        intent: Option<IntentRow>,
        keeps: fn(&Response) -> bool,
    ) -> Result<Exchanged, Error> {
        self.carry(request, slot, Carried { intent, keeps }, &Reporter(None)).await
    }

    async fn carry(
        &self,
        request: Request,
        slot: AnswerSlot,
        carried: Carried,
        reporter: &Reporter,
    ) -> Result<Exchanged, Error> {
        let Carried { intent, keeps } = carried;
        let slot = Arc::new(slot);
        let unsent = |slot, error| Exchanged {
            answer: Err(error),
            latency: Duration::ZERO,
            slot,
            is_kept: false,
        };
        let connection = match self.http()?.connect(&request).await {
            Ok(connection) => connection,
            Err(error) => return Ok(unsent(slot, error)),
        };
        // Had now, so that keeping the answer asks the system for nothing but the write.
        let preparation = SealPreparation::new()?;
        let credential = slot.credential();
        // 'May have been sent' is durable before the request can leave.
        if let Some(intent) = intent {
            self.begin_spending(credential, intent).await?;
        }
        reporter.progress(Progress::Exchanging);
        let started = tokio::time::Instant::now();
        let keeper = Arc::clone(&slot);
        let keep = move |response: &Response| {
            let wanted = keeps(response);
            let kept = if wanted { keeper.keep(preparation, response) } else { Ok(()) };
            kept.map(|()| wanted)
        };
        Ok(match connection.send(keep).await {
            Ok((response, kept)) => {
                if let Err(error) = &kept {
                    tracing::error!(error = error.message(), "the inbox did not take an answer");
                }
                let latency = started.elapsed();
                Exchanged {
                    answer: Ok(response),
                    latency,
                    slot,
                    is_kept: kept.is_ok_and(|kept| kept),
                }
            }
            Err(error) => Exchanged { latency: started.elapsed(), ..unsent(slot, error) },
        })
    }

    /// The intent of an exchange that is begun now.
    pub(super) fn intent(
        operation: store::IntentOperation,
        generation: crate::domain::token::Generation,
        attempt: u32,
        spent_tag: [u8; 32],
    ) -> IntentRow {
        let started_at = crate::engine::now();
        IntentRow {
            operation,
            generation,
            attempt,
            spent_tag,
            boot_id: platform::who::boot_id().unwrap_or_default(),
            host_mark: platform::who::host_mark(),
            pid: std::process::id(),
            started_at,
            deadline: started_at.plus(crate::engine::refresh::INTENT_LIFE),
        }
    }

    /// Looks at how settling an answer ended. `None`: the answer is only in memory, and it has to be
    /// settled again; it is not given up, for nobody can ask for it once more.
    pub(super) async fn secure<T>(
        &self,
        exchanged: &mut Exchanged,
        settled: Result<T, Error>,
        reporter: &Reporter,
    ) -> Option<Result<T, Error>> {
        let Some(failure) = settled.as_ref().err().and_then(Error::storage) else {
            self.only_in_memory.send_replace(false);
            let cleared = exchanged.clear().await;
            if let Err(error) = cleared {
                tracing::warn!(error = error.message(), "a slot of the inbox was not emptied");
            }
            return Some(settled);
        };
        let failure = failure.clone();
        let Ok(response) = &exchanged.answer else { return Some(settled) };
        if !exchanged.is_kept {
            exchanged.is_kept = exchanged.slot.rescue(response).is_ok();
        }
        if exchanged.is_kept {
            self.only_in_memory.send_replace(false);
            return Some(Err(Error::AnswerKept(failure)));
        }
        self.only_in_memory.send_replace(true);
        reporter.alarm(format!(
            "the new token is in the memory of this process alone ({failure}): do not end it, free \
             some space on the disk; it is tried again every {} s",
            RESCUE_INTERVAL.as_secs()
        ));
        tokio::time::sleep(RESCUE_INTERVAL).await;
        None
    }
}
