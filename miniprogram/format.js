// How sums, days and times are written. `t` is one language of texts.js; days and times are Beijing's.
const DAY_MS = 24 * 3600 * 1000
const BEIJING_MS = 8 * 3600 * 1000

// ¥388 of 38800 fen, ¥388.05 of 38805.
const yuan = (fen) => `¥${fen % 100 ? (fen / 100).toFixed(2) : fen / 100}`

// The text with its {names} filled in.
const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name])

// 2026-12-01: the day of a phone's time, so many days later.
const day = (ms, days = 0) => new Date(ms + BEIJING_MS + days * DAY_MS).toISOString().slice(0, 10)

// 2026-12-03, two days after 2026-12-01.
const later = (date, days) => new Date(Date.parse(date) + days * DAY_MS).toISOString().slice(0, 10)

const nightsOf = (start, end) => Math.round((Date.parse(end) - Date.parse(start)) / DAY_MS)

// 12月5日, of 2026-12-05.
const dayWords = (date, t) =>
  filled(t.dayForm, { month: t.months[date.slice(5, 7) - 1], day: Number(date.slice(8, 10)) })

// 12月5日 周六, of 2026-12-05.
const weekdayWords = (date, t) =>
  filled(t.weekdayForm, { day: dayWords(date, t), weekday: t.weekdays[new Date(Date.parse(date)).getUTCDay()] })

// 12月5日 周六 19:00, of a course's session, 2026-12-05T19:00.
const sessionWords = (session, t) => `${weekdayWords(session.slice(0, 10), t)} ${session.slice(11, 16)}`

// 12月1日 18:00, of an instant.
function instantWords(iso, t) {
  const there = new Date(Date.parse(iso) + BEIJING_MS).toISOString()
  return `${dayWords(there.slice(0, 10), t)} ${there.slice(11, 16)}`
}

// HH:mm of an instant.
const clock = (iso) => new Date(Date.parse(iso) + BEIJING_MS).toISOString().slice(11, 16)

// MM-DD HH:mm:ss of a phone's time in milliseconds.
const moment = (ms) => new Date(ms + BEIJING_MS).toISOString().slice(5, 19).replace("T", " ")

module.exports = {
  yuan,
  filled,
  day,
  later,
  nightsOf,
  dayWords,
  weekdayWords,
  sessionWords,
  instantWords,
  clock,
  moment,
}
