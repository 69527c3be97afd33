//! A session beside a screen or a program: what comes is taken in as it comes.

use kez_client::{CallError, StreamItem};
use kez_core::ConversationId;
use kez_e2e::{Content as Said, Payload};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::{Happened, Session};
use crate::chat::model::{Content, Queued};
use crate::chat::talk::{News, Wish};
use crate::chat::words;
use crate::chat::{history, intake};
use crate::error::{CliError, Failure};

/// Entries of a conversation that are given at once.
const PAGE: usize = 200;
/// After so many events they are acknowledged, without waiting for a pause.
const ACKNOWLEDGE_AFTER: u64 = 32;

impl Session {
    /// Waits for the next thing that comes in. Nothing is lost when this is dropped.
    pub(crate) async fn wait(&mut self) -> Result<StreamItem, CallError> {
        if self.stream.is_none() {
            let after = self.cursor().unwrap_or_default();
            self.stream = Some(self.client.events(after));
        }
        match &mut self.stream {
            Some(stream) => stream.next().await,
            None => std::future::pending().await,
        }
    }

    /// Takes in what came; what happened.
    pub(crate) async fn handle(
        &mut self,
        item: Result<StreamItem, CallError>,
    ) -> Result<Vec<Happened>, CliError> {
        let result = match item {
            Ok(StreamItem::Ready { .. }) => {
                self.note_online();
                self.flush().await
            }
            Ok(StreamItem::Event(event)) => self.take_live(event).await,
            Ok(_) => Ok(()),
            Err(CallError::Gone { oldest }) => {
                self.stream = None;
                self.missed(oldest)
            }
            Err(error) => {
                self.stream = None;
                Err(error.into())
            }
        };
        if let Err(error) = result {
            self.note_offline(error)?;
        }
        Ok(self.take_happened())
    }

    async fn take_live(&mut self, event: kez_client::InboxEvent) -> Result<(), CliError> {
        let n = event.n;
        self.take_event(event).await?;
        if n >= self.acknowledged + ACKNOWLEDGE_AFTER {
            self.acknowledge().await?;
        }
        if self.has_work() {
            self.attend().await?;
        }
        self.flush().await
    }

    /// Tells the server what was stored, before the program ends.
    pub(crate) async fn finish(&mut self) -> Result<(), CliError> {
        self.tell_read(true)?;
        self.flush().await?;
        self.acknowledge().await
    }

    /// Does what is wished and tells what happens, until nobody wishes any more.
    pub(crate) async fn live(
        &mut self,
        mut wishes: UnboundedReceiver<Wish>,
        news: UnboundedSender<News>,
    ) -> Result<(), CliError> {
        self.tell_all(&news)?;
        let happened = self.catch_up_or_warn().await?;
        self.tell(happened, &news)?;
        self.tell_all(&news)?;
        loop {
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(wish) => self.fulfil(wish, &news).await?,
                    None => return Ok(()),
                },
                item = self.wait() => {
                    let happened = self.handle(item).await?;
                    self.tell(happened, &news)?;
                }
            }
        }
    }

    async fn fulfil(&mut self, wish: Wish, news: &UnboundedSender<News>) -> Result<(), CliError> {
        let said = matches!(wish, Wish::Say { .. });
        let result = self.try_fulfil(wish, news).await;
        if let Err(error) = result {
            let _ = news.send(News::Failed(Failure::from(error))); // the screen may be gone
        }
        if said {
            // Shown as waiting before the server is asked.
            let _ = news.send(News::Queue(self.queued()?));
        }
        let happened = self.flush_all().await?;
        self.tell(happened, news)
    }

    async fn try_fulfil(&mut self, wish: Wish, news: &UnboundedSender<News>) -> Result<(), CliError> {
        let say = |lines: Vec<String>| {
            let _ = news.send(News::Told(lines));
        };
        match wish {
            Wish::Say { cid, text } => self.say(cid, text, None).map(drop),
            Wish::SendFile { cid, path } => self.send_files(cid, &[path], None).await.map(drop),
            Wish::Open { peer } => {
                let cid = self.find(&peer).await?;
                self.opened(cid, news)
            }
            Wish::CreateGroup { name, people } => {
                let people = self.people(&people).await?;
                let cid = self.create_group(&name, people).await?;
                self.opened(cid, news)
            }
            Wish::Add { cid, people } => {
                let people = self.people(&people).await?;
                self.add_people(cid, people).await
            }
            Wish::Remove { cid, people } => {
                let people = self.people(&people).await?;
                self.remove_people(cid, people).await
            }
            Wish::Leave { cid } => self.leave(cid).await,
            Wish::Rename { cid, name } => self.rename(cid, &name).await,
            Wish::Accept { cid } => {
                let who = self.local.chat(cid)?.peer().ok_or(CliError::NotForGroups)?;
                self.accept(who).await
            }
            Wish::Decline { cid } => {
                let who = self.local.chat(cid)?.peer().ok_or(CliError::NotForGroups)?;
                self.decline(who)
            }
            Wish::Block { who, on } => {
                self.block(who, on)?;
                say(vec![if on { "blocked".into() } else { "no longer blocked".into() }]);
                Ok(())
            }
            Wish::MarkRead { cid, seq } => self.mark_read(cid, seq),
            Wish::Load { cid, before } => {
                let entries = history::messages(&self.local.records, cid, before, PAGE)?;
                let _ = news.send(News::Entries { cid, before, entries });
                Ok(())
            }
            Wish::Save { cid, folder } => {
                let message = crate::commands::chat::newest_with_files(&self.local, cid)?;
                let Content::Files { files, .. } = message.content else { return Ok(()) };
                let mut lines = Vec::new();
                for file in &files {
                    let path = crate::chat::files::save(file, &folder, &self.client).await?;
                    lines.push(format!("saved: {}", path.display()));
                }
                say(lines);
                Ok(())
            }
            Wish::Verify { cid } => {
                let who = self.local.chat(cid)?.peer().ok_or(CliError::NotForGroups)?;
                say(crate::commands::chat::safety_lines(self.me(), who, &self.names()?.handle(who)));
                Ok(())
            }
            Wish::Search { words } => {
                let names = self.names()?;
                let found = history::search(&self.local.records, None, &words, 10)?;
                let mut lines = Vec::new();
                for found in &found {
                    let title = words::title(&self.local.chat(found.cid)?, &names);
                    let when = words::moment(found.message.at, crate::system::now());
                    let who = names.of(found.message.from);
                    let body = words::body(&found.message, &names).replace('\n', " ");
                    lines.push(format!("{when}  {title}  {who}: {body}"));
                }
                if lines.is_empty() {
                    lines.push("nothing on this device has all of these words".into());
                }
                say(lines);
                Ok(())
            }
        }
    }

    fn opened(&mut self, cid: ConversationId, news: &UnboundedSender<News>) -> Result<(), CliError> {
        self.tell_all(news)?;
        let _ = news.send(News::Opened(cid));
        Ok(())
    }

    fn tell(&mut self, happened: Vec<Happened>, news: &UnboundedSender<News>) -> Result<(), CliError> {
        let mut has_chats = false;
        for one in happened {
            let told = match one {
                Happened::Entry { cid, entry } => {
                    has_chats = true;
                    News::Entry { cid, entry }
                }
                Happened::Chat(_) => {
                    has_chats = true;
                    continue;
                }
                Happened::Sent { .. } => continue,
                Happened::Online => News::Online(Ok(())),
                Happened::Offline(why) => News::Online(Err(why)),
            };
            let _ = news.send(told);
        }
        if has_chats {
            self.tell_all(news)?;
        }
        let _ = news.send(News::Queue(self.queued()?));
        Ok(())
    }

    fn tell_all(&self, news: &UnboundedSender<News>) -> Result<(), CliError> {
        let chats = history::chats(&self.local.records)?;
        let shown = chats.into_iter().filter(crate::chat::model::Chat::is_shown).collect();
        let _ = news.send(News::Chats { chats: shown, names: self.names()? });
        Ok(())
    }

    /// What waits to be sent, for people.
    fn queued(&self) -> Result<Vec<Queued>, CliError> {
        let unsaid = self.engine.unsaid().map_err(CliError::Engine)?;
        Ok(unsaid.into_iter().filter_map(|(cid, _, payload)| queued(cid, payload)).collect())
    }
}

/// What people see of a message that waits.
fn queued(cid: ConversationId, payload: Payload) -> Option<Queued> {
    let content = match payload.content {
        Said::Text { body, .. } => Content::Text { body, reply_to: None },
        Said::Attachment { files, body } => {
            Content::Files { files: files.into_iter().map(intake::file).collect(), body }
        }
        _ => return None,
    };
    Some(Queued { cid, content })
}
