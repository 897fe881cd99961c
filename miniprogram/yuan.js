// ¥896.00 of 89600 fen.
module.exports = (fen) => `¥${Math.floor(fen / 100)}.${String(fen % 100).padStart(2, "0")}`
