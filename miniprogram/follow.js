// Keeps what a page shows true while the page is visible: asks again and again, more seldom as time goes by, and not at
// all when the page is hidden or what it shows is over.

const STALE_MS = 8000 // without an answer for so long the page says since when it knows
const PACE = [
  [2 * 60000, 3000],
  [10 * 60000, 5000],
  [Infinity, 10000],
] // [visible for less than, pause]
const MISSED_MS = [3000, 5000, 10000, 20000, 30000] // after failures in a row

// `ask()` gives an answer. `show(answer, pace)` shows it and gives the milliseconds until the next look, null when there
// is no more to come; `pace` is a good pause for what may change at any time. `lost(error, since)` is called when the
// page cannot be kept true: `since` is the time, in milliseconds, at which what it shows was asked for, null when it
// shows nothing; `error` is null while the answer is only late.
// -> { start, stop, refresh }: for onShow; onHide and onUnload; and at once, as after an action of the guest's.
function createFollower({ ask, show, lost }) {
  let visible = false
  let shownAt = 0
  let since = null
  let missed = 0
  let asked = 0 // only the latest look counts: an older one's answer may be out of date
  let timer
  let alarm

  function quiet() {
    clearTimeout(timer)
    clearTimeout(alarm)
  }

  function pace() {
    const age = Date.now() - shownAt
    return PACE.find(([limit]) => age < limit)[1]
  }

  async function look() {
    quiet()
    const mine = ++asked
    const at = Date.now()
    if (since !== null) alarm = setTimeout(() => lost(null, since), Math.max(0, since + STALE_MS - at))
    let next
    try {
      const answer = await ask()
      if (mine !== asked) return
      next = show(answer, pace())
      since = at
      missed = 0
    } catch (error) {
      if (mine !== asked) return
      lost(error, since)
      next =
        error.kind === "missing"
          ? null
          : Math.max(MISSED_MS[Math.min(missed++, MISSED_MS.length - 1)], error.retryAfterMs || 0)
    }
    quiet()
    if (visible && next !== null) timer = setTimeout(look, next)
  }

  return {
    start() {
      if (!visible) shownAt = Date.now()
      visible = true
      missed = 0
      return look()
    },
    stop() {
      visible = false
      asked++
      quiet()
    },
    refresh: look,
  }
}

module.exports = { createFollower }
