//! Draws the model. Reads and changes nothing else; a function for each screen, one file each.

mod apps;
pub(crate) mod bar;
mod copied;
mod dashboard;
mod device;
mod dialog;
mod form;
mod help;
mod page;
mod palette;
mod panel;
mod qr_code;
mod round;
mod setup;
#[cfg(test)]
mod tests;
mod theme;
pub(crate) mod words;
mod wrong_account;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::tui::model::geometry::{LEAST, Shape};
use crate::tui::model::setup::SetupView;
use crate::tui::model::{Model, Screen};
use crate::tui::view::page::Page;

/// Draws the whole screen and puts the terminal's cursor where the keys go.
pub(crate) fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    if let Some(cursor) = draw(model, frame.buffer_mut(), area) {
        frame.set_cursor_position(cursor);
    }
}

fn draw(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<Position> {
    if model.geometry().shape == Shape::TooSmall {
        let mut page = Page::new(buffer, area, model.look);
        let (width, height) = (area.width, area.height);
        let least = format!("orgkey needs {} columns and {} rows", LEAST.width, LEAST.height);
        page.text(0, "too small", page.theme.strong());
        page.text(0, &least, page.theme.plain());
        page.text(0, &format!("this is {width} x {height}"), page.theme.plain());
        return None;
    }
    if let Some((_, alarm)) = &model.alarm {
        let mut page = Page::new(buffer, area, model.look);
        page.text(1, "DO NOT END THIS PROGRAM", page.theme.wrong());
        page.gap();
        page.text(1, alarm, page.theme.plain());
        return None;
    }
    let Some(screen) = model.screens.last() else {
        return dashboard::draw(model, buffer);
    };
    if let Screen::Setup(setup) = screen
        && matches!(setup.view, SetupView::Plain | SetupView::QrCode)
    {
        let mut page = Page::new(buffer, area, model.look);
        setup::draw_address_alone(&mut page, setup);
        return None;
    }
    let rows = if model.bar { 2 } else { 0 };
    let body = Rect { height: area.height.saturating_sub(rows), ..area };
    let mut page = Page::new(buffer, body, model.look);
    let cursor = draw_screen(model, screen, &mut page);
    if model.bar {
        let below = Rect { y: body.bottom(), height: rows, ..area };
        bar::draw(model, &mut Page::new(buffer, below, model.look));
    }
    cursor
}

fn draw_screen(model: &Model, screen: &Screen, page: &mut Page<'_>) -> Option<Position> {
    match screen {
        Screen::Form(form) => form::draw(model, form, page),
        Screen::AppForm(form) => apps::draw_form(form, page),
        Screen::Setup(setup) => setup::draw(model, setup, page),
        Screen::WrongAccount(found) => {
            wrong_account::draw(found, page);
            None
        }
        Screen::Typed(dialog) => dialog::draw_typed(model, dialog, page),
        Screen::Confirm(dialog) => dialog::draw_confirm(dialog, page),
        Screen::Key(dialog) => dialog::draw_key(dialog, page),
        Screen::Copy(address) => {
            dialog::draw_copies(model, address, page);
            None
        }
        Screen::Copied(dialog) => copied::draw(model, dialog, page),
        Screen::Details(address, top) => {
            panel::draw_details(model, address, *top, page);
            None
        }
        Screen::History(address, entries, top) => {
            help::draw_history(model, address, entries.as_deref(), *top, page);
            None
        }
        Screen::Apps(screen) => apps::draw_list(model, screen, page),
        Screen::AppReport(report, top) => {
            apps::draw_report(report, *top, page);
            None
        }
        Screen::RoundStart(start) => round::draw_start(model, start, page),
        Screen::Round => round::draw(model, page),
        Screen::Palette(palette) => palette::draw(palette, page),
        Screen::Guide(login_url, top) => {
            apps::draw_guide(model, login_url, *top, page);
            None
        }
        Screen::Help(top) => {
            help::draw_keys(*top, page);
            None
        }
        Screen::Messages(top) => {
            help::draw_messages(model, *top, page);
            None
        }
    }
}
