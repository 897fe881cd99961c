// What the counter shows of what was bought, by service_type: lines of [name, text]. Of a product that is not here, every
// field by its own name. `inShort`: in a line, and for how many people.

import { lang } from "./lang.js"

const T = {
  zh: {
    stay: "入住",
    nights: (n) => `${n} 晚`,
    people: (n) => `${n} 人`,
    food: "含餐",
    remark: "备注",
    session: "场次",
    place: "地点",
    minutes: (n) => `${n} 分钟`,
    seats: (n) => `${n} 位`,
  },
  en: {
    stay: "Stay",
    nights: (n) => `${n} ${n === 1 ? "night" : "nights"}`,
    people: (n) => `${n} ${n === 1 ? "guest" : "guests"}`,
    food: "with meals",
    remark: "Remark",
    session: "Session",
    place: "Place",
    minutes: (n) => `${n} min`,
    seats: (n) => `${n} ${n === 1 ? "seat" : "seats"}`,
  },
}[lang]

const line = (...parts) => parts.filter(Boolean).join(" · ")
const remarked = (remark) => (remark ? [[T.remark, remark]] : [])

function homestay({ start_date, end_date, nights, people, need_food, remark }) {
  const text = line(`${start_date} – ${end_date}`, T.nights(nights), T.people(people), need_food && T.food)
  return [[T.stay, text], ...remarked(remark)]
}

function course({ session, minutes, seats, place, remark }) {
  const text = line(session.replace("T", " "), T.minutes(minutes), T.seats(seats))
  return [[T.session, text], ...(place ? [[T.place, place]] : []), ...remarked(remark)]
}

const LINES = { homestay, course }

const IN_SHORT = {
  homestay: ({ nights, people, need_food }) => ({
    text: line(T.nights(nights), T.people(people), need_food && T.food),
    people,
  }),
  // Seats that were given up are not held any more.
  course: ({ session, seats }, holds) => {
    const left = holds.session ? holds.seats : seats
    return { text: line(session.slice(11), T.seats(left)), people: left }
  },
}

export function purchaseLines({ service_type, purchase }) {
  const lines = LINES[service_type] ?? (({ title: _, ...fields }) => Object.entries(fields))
  return lines(purchase)
}

export function inShort({ service_type, purchase, holds }) {
  return IN_SHORT[service_type]?.(purchase, holds) ?? { text: "", people: 1 }
}
