const { filled, sessionWords, yuan } = require("../../format.js")
const showOffers = require("../../offers.js")
const app = getApp()

Page({
  data: { t: app.t, courses: null, message: "" },
  onLoad() {
    wx.setNavigationBarTitle({ title: app.t.title.courses })
    return this.load()
  },
  onPullDownRefresh() {
    return this.load().then(() => wx.stopPullDownRefresh())
  },
  load() {
    return showOffers(this, "course", "courses", (course) => {
      const [next] = course.sessions.map(({ session }) => session).sort()
      return {
        ...course,
        price: next ? filled(app.t.fromPrice, { price: yuan(course.from_fen) }) : "",
        next: next ? filled(app.t.nextSession, { session: sessionWords(next, app.t) }) : app.t.noSession,
      }
    })
  },
  onCourse(event) {
    wx.navigateTo({ url: `/pages/course/course?course_id=${event.currentTarget.dataset.id}` })
  },
})
