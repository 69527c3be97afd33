//! `kez chat tui`: a screen to talk on.

mod commands;
mod draw;
mod input;
mod screen;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange, Event, EventStream,
};
use futures_util::StreamExt;
use kez_core::ConversationId;
use ratatui::DefaultTerminal;
use tokio::sync::mpsc;
use tokio::time::interval;

use self::draw::Theme;
use self::screen::{Deed, Screen};
use super::talk::{News, Wish};
use crate::system;

/// How often the screen is drawn without a reason: times of day move on.
const REDRAW: Duration = Duration::from_secs(20);

/// Shows the screen until the person leaves it, or until nothing comes any more.
pub(crate) async fn run(
    current: Option<ConversationId>,
    wishes: mpsc::UnboundedSender<Wish>,
    news: mpsc::UnboundedReceiver<News>,
) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    // A terminal that cannot do this does without.
    let _ = crossterm::execute!(io::stdout(), EnableBracketedPaste, EnableFocusChange);
    let result = talk(&mut terminal, Screen::new(current), wishes, news).await;
    let _ = crossterm::execute!(io::stdout(), DisableBracketedPaste, DisableFocusChange);
    ratatui::restore();
    result
}

async fn talk(
    terminal: &mut DefaultTerminal,
    mut screen: Screen,
    wishes: mpsc::UnboundedSender<Wish>,
    mut news: mpsc::UnboundedReceiver<News>,
) -> io::Result<()> {
    let theme = Theme { colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
    let mut keys = EventStream::new();
    let mut clock = interval(REDRAW);
    loop {
        let mut scroll_max = 0;
        terminal.draw(|frame| scroll_max = draw::draw(frame, &screen, system::now(), theme))?;
        if let Some(wish) = screen.bound_scroll(scroll_max) {
            let _ = wishes.send(wish); // nobody listens any more only when the session has ended
        }
        let deeds = tokio::select! {
            key = keys.next() => match key {
                Some(event) => taken(&mut screen, event?),
                None => return Ok(()),
            },
            heard = news.recv() => match heard {
                Some(heard) => {
                    let mut asked = screen.hear(heard);
                    // All that is there, before the screen is drawn again.
                    while let Ok(heard) = news.try_recv() {
                        asked.extend(screen.hear(heard));
                    }
                    asked.into_iter().map(Deed::Wish).collect()
                }
                None => return Ok(()),
            },
            _ = clock.tick() => Vec::new(),
        };
        for deed in deeds {
            match deed {
                Deed::Quit => return Ok(()),
                Deed::Wish(wish) => {
                    let _ = wishes.send(wish);
                }
            }
        }
    }
}

fn taken(screen: &mut Screen, event: Event) -> Vec<Deed> {
    match event {
        Event::Key(key) => screen.press(key),
        Event::Paste(text) => {
            screen.paste(&text);
            Vec::new()
        }
        Event::FocusGained => screen.focus(true).into_iter().map(Deed::Wish).collect(),
        Event::FocusLost => screen.focus(false).into_iter().map(Deed::Wish).collect(),
        Event::Resize(..) | Event::Mouse(_) => Vec::new(),
    }
}
