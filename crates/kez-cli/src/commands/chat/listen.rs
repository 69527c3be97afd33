//! `kez chat listen`: what happens, line by line, and commands of programs.

use std::io::{self, BufRead, Read};

use kez_core::ConversationId;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::chat::lines::{ChatLine, EntryLine, LINE_BYTES_MAX, Order, OrderLine};
use crate::chat::model::{Chat, Message};
use crate::chat::session::{Happened, Session};
use crate::chat::words::{self, Names};
use crate::cli::{Listen, Peer, peer, who};
use crate::error::{CliError, Failure};
use crate::home::Home;
use crate::output::Output;
use crate::system;

/// Prints what happens until it is stopped, and does what is said on standard input.
pub(super) async fn run(args: &Listen, home: &Home, output: &Output) -> Result<(), CliError> {
    let mut session = Session::open(home, output)?;
    let mut printer = Printer { output, peek: args.peek };
    let mut orders = output.is_json().then(read_orders);
    printer.caught_up(&mut session, args.once).await?;
    loop {
        if args.once && orders.is_none() {
            return session.finish().await;
        }
        tokio::select! {
            line = next(&mut orders) => match line {
                Some(line) => printer.carry_out(&mut session, &line).await?,
                None => orders = None,
            },
            item = session.wait(), if !args.once => {
                for one in session.handle(item).await? {
                    printer.print(&mut session, one)?;
                }
            }
        }
    }
}

/// The next line of standard input; for ever, where nothing is read.
async fn next(orders: &mut Option<UnboundedReceiver<String>>) -> Option<String> {
    match orders {
        Some(orders) => orders.recv().await,
        None => std::future::pending().await,
    }
}

/// Lines of standard input, read by a thread of their own: nothing else can be waited for with them.
fn read_orders() -> UnboundedReceiver<String> {
    let (found, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || read_lines(&found));
    orders
}

fn read_lines(found: &UnboundedSender<String>) {
    let mut stdin = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let most = LINE_BYTES_MAX as u64 + 1;
        match stdin.by_ref().take(most).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ => return,
        }
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if !text.is_empty() && found.send(text).is_err() {
            return;
        }
    }
}

struct Printer<'a> {
    output: &'a Output,
    peek: bool,
}

impl Printer<'_> {
    /// Prints what is there already.
    async fn caught_up(&mut self, session: &mut Session, once: bool) -> Result<(), CliError> {
        let happened = if once { session.catch_up().await? } else { session.catch_up_or_warn().await? };
        for one in happened {
            self.print(session, one)?;
        }
        if self.output.is_json() {
            self.line(&json!({ "event": "caught_up" }))?;
        }
        Ok(())
    }

    fn print(&mut self, session: &mut Session, happened: Happened) -> Result<(), CliError> {
        let names = session.names()?;
        match happened {
            Happened::Entry { cid, entry } => {
                self.entry(&session.local().chat(cid)?, &entry, &names)?;
                if !self.peek && entry.content.is_said() {
                    session.mark_read(cid, entry.seq)?;
                }
                Ok(())
            }
            Happened::Chat(cid) => self.chat(&session.local().chat(cid)?, &names),
            Happened::Sent { cid, mid, seq, at } if self.output.is_json() => {
                self.line(&json!({ "event": "sent", "conversation": cid, "id": mid, "seq": seq, "at": at }))
            }
            Happened::Online if self.output.is_json() => self.line(&json!({ "event": "online" })),
            Happened::Offline(message) if self.output.is_json() => {
                self.line(&json!({ "event": "offline", "message": message }))
            }
            Happened::Offline(message) => {
                self.output.warn("offline", &format!("{message}; kez goes on trying"));
                Ok(())
            }
            Happened::Sent { .. } | Happened::Online => Ok(()),
        }
    }

    fn entry(&self, chat: &Chat, entry: &Message, names: &Names) -> Result<(), CliError> {
        if self.output.is_json() {
            return self.event("entry", &EntryLine::of(chat.cid, entry, names));
        }
        let when = words::moment(entry.at, system::now());
        let title = words::title(chat, names);
        let body = words::body(entry, names).replace('\n', "\n    ");
        let line = if !entry.content.is_said() {
            format!("{when}  {title}  · {body}\n")
        } else if chat.peer() == Some(entry.from) {
            format!("{when}  {title}: {body}\n")
        } else {
            format!("{when}  {title}  {}: {body}\n", names.of(entry.from))
        };
        self.output.raw(line.as_bytes())
    }

    fn chat(&self, chat: &Chat, names: &Names) -> Result<(), CliError> {
        if self.output.is_json() { self.event("chat", &ChatLine::of(chat, names)) } else { Ok(()) }
    }

    fn event(&self, event: &str, of: &impl serde::Serialize) -> Result<(), CliError> {
        // invariant: our types become JSON objects.
        let mut line = serde_json::to_value(of).expect("a line is JSON");
        if let Some(members) = line.as_object_mut() {
            members.insert("event".into(), event.into());
        }
        self.line(&line)
    }

    fn line(&self, line: &Value) -> Result<(), CliError> {
        self.output.raw(format!("{line}\n").as_bytes())
    }

    /// Carries out a command of a program, and says what came of it.
    async fn carry_out(&mut self, session: &mut Session, line: &str) -> Result<(), CliError> {
        let parsed = OrderLine::parse(line);
        let mark = parsed.as_ref().ok().and_then(|line| line.mark.clone());
        let done = match parsed.and_then(OrderLine::order) {
            Ok(order) => obey(session, order).await,
            Err(words) => Err(CliError::BadOrder(words)),
        };
        match done {
            Ok(mut members) => {
                members["event"] = "done".into();
                members["ref"] = mark.into();
                self.line(&members)?;
            }
            Err(error) => {
                let mut members = Failure::from(error).to_json();
                members["event"] = "error".into();
                members["ref"] = mark.into();
                self.line(&members)?;
            }
        }
        let happened = session.flush_all().await?;
        for one in happened {
            self.print(session, one)?;
        }
        Ok(())
    }
}

async fn obey(session: &mut Session, order: Order) -> Result<Value, CliError> {
    match order {
        Order::Send(order) => {
            let cid = conversation(session, &order.to).await?;
            let reply_to = match &order.reply_to {
                Some(start) => Some(super::send::reply_to(session, cid, start)?),
                None => None,
            };
            let mid = match (order.files.is_empty(), order.text) {
                (true, Some(text)) => session.say(cid, text, reply_to)?,
                (true, None) => return Err(CliError::NothingToSay),
                (false, text) => session.send_files(cid, &order.files, text).await?,
            };
            Ok(json!({ "conversation": cid, "ids": [mid] }))
        }
        Order::Read(order) => {
            let cid = conversation(session, &order.with).await?;
            let newest = session.local().chat(cid)?.newest_seq;
            session.mark_read(cid, newest)?;
            Ok(json!({ "conversation": cid }))
        }
        Order::Accept(order) => {
            let person = session.person(&who(&order.who).map_err(CliError::BadOrder)?).await?;
            session.accept(person).await.map(|()| json!({}))
        }
        Order::Decline(order) => {
            let person = session.person(&who(&order.who).map_err(CliError::BadOrder)?).await?;
            session.decline(person).map(|()| json!({}))
        }
        Order::Block(order) => {
            let person = session.person(&who(&order.who).map_err(CliError::BadOrder)?).await?;
            session.block(person, true).map(|()| json!({}))
        }
    }
}

/// The conversation that a program names: by its whole id, or as people do.
async fn conversation(session: &mut Session, text: &str) -> Result<ConversationId, CliError> {
    if let Ok(cid) = text.parse::<ConversationId>() {
        return session.local().chat(cid).map(|chat| chat.cid);
    }
    let named: Peer = peer(text).map_err(CliError::BadOrder)?;
    session.find(&named).await
}
