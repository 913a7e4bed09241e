#include "tiled_item.h"

#include <QElapsedTimer>
#include <QPainter>
#include <QStyleOptionGraphicsItem>

#include <algorithm>
#include <cmath>

namespace histoloom {

namespace {

constexpr int TILE_PX = 256;
constexpr int CACHED_TILES = 1024;
// A disk or a share may come back soon; one that is gone is not asked all the time.
constexpr int FIRST_RETRY_MS = 1000, LAST_RETRY_MS = 60'000;

}  // namespace

TiledItem::TiledItem(qint64 width, qint64 height, Pixels pixels) : width_(width), height_(height), pixels_(pixels), tiles_(CACHED_TILES) {
    setFlag(ItemUsesExtendedStyleOption);
    pool_.setMaxThreadCount(1);
    retry_.setSingleShot(true);
    connect(&retry_, &QTimer::timeout, this, [this] {
        failed_.clear();
        update();
    });
    while ((TILE_PX << coarsest_) < std::max(width, height)) coarsest_++;
}

TiledItem::~TiledItem() {
    pool_.clear();
    pool_.waitForDone();
}

void TiledItem::show(Reader reader) {
    pool_.clear();
    generation_++;
    pending_.clear();
    failed_.clear();
    retry_.stop();
    retry_ms_ = 0;
    tiles_.clear();
    reader_ = std::move(reader);
    update();
}

void TiledItem::forget_cost() { cost_->reads = cost_->read_ns = cost_->paints = cost_->paint_ns = 0; }

QRectF TiledItem::place(const Key &key) const {
    const double side = std::ldexp(TILE_PX, key.level);
    return QRectF(key.column * side, key.row * side, side, side);
}

void TiledItem::paint(QPainter *painter, const QStyleOptionGraphicsItem *option, QWidget *) {
    if (!reader_) return;
    QElapsedTimer time;
    time.start();
    const QTransform view = painter->worldTransform();
    const double downsample = 1.0 / std::max(view.m11() * painter->device()->devicePixelRatioF(), 1e-9);
    const int level = std::clamp(static_cast<int>(std::floor(std::log2(downsample) + 0.01)), 0, coarsest_);
    if (level != wanted_level_) {  // what was wanted at another zoom is not wanted any more
        pool_.clear();
        pending_.clear();
        wanted_level_ = level;
    }
    const QRectF seen = option->exposedRect & boundingRect();
    const double side = std::ldexp(TILE_PX, level);
    painter->save();
    painter->setWorldTransform(QTransform());
    painter->setRenderHint(QPainter::SmoothPixmapTransform, pixels_ == Pixels::Smooth || downsample > 1.0);
    for (int row = static_cast<int>(seen.top() / side); row * side < seen.bottom(); row++)
        for (int column = static_cast<int>(seen.left() / side); column * side < seen.right(); column++) draw(painter, view, {level, column, row});
    painter->restore();
    cost_->paints++;
    cost_->paint_ns += time.nsecsElapsed();
}

// Edges are rounded to pixels of the view, so that neighbours neither overlap nor leave a gap.
void TiledItem::draw(QPainter *painter, const QTransform &view, const Key &key) {
    if (!tiles_.contains(key)) request(key);
    const QRectF whole = place(key) & boundingRect();
    for (Key at = key; at.level <= coarsest_; at = {at.level + 1, at.column / 2, at.row / 2}) {
        const QImage *tile = tiles_.object(at);
        if (tile == nullptr) continue;
        const QRectF to = view.mapRect(whole);
        const QPoint first(qRound(to.left()), qRound(to.top())), end(qRound(to.right()), qRound(to.bottom()));
        const double scale = std::ldexp(1.0, -at.level);
        const QPointF corner = (whole.topLeft() - place(at).topLeft()) * scale;
        const QRectF from(corner, whole.size() * scale);
        painter->drawImage(QRectF(first, QSizeF(end.x() - first.x(), end.y() - first.y())), *tile, from);
        return;
    }
}

void TiledItem::request(const Key &key) {
    if (pending_.contains(key) || failed_.contains(key)) return;
    pending_ += key;
    const QRectF place = this->place(key) & boundingRect();
    const double downsample = std::ldexp(1.0, key.level);
    const int width = static_cast<int>(std::ceil(place.width() / downsample)), height = static_cast<int>(std::ceil(place.height() / downsample));
    const auto x = static_cast<qint64>(place.left()), y = static_cast<qint64>(place.top());
    pool_.start([this, key, x, y, downsample, width, height, reader = reader_, cost = cost_, generation = generation_] {
        QElapsedTimer time;
        time.start();
        QImage tile;
        try {
            tile = reader(x, y, downsample, width, height);
        } catch (const std::exception &error) {
            qWarning("a tile could not be read: %s", error.what());
        }
        cost->reads++;
        cost->read_ns += time.nsecsElapsed();
        QMetaObject::invokeMethod(this, [this, key, tile, generation] { take(key, tile, generation); }, Qt::QueuedConnection);
    });
}

void TiledItem::take(const Key &key, const QImage &tile, int generation) {
    if (generation != generation_) return;
    pending_ -= key;
    if (tile.isNull()) {
        failed_ += key;
        if (!retry_.isActive()) retry_.start(retry_ms_ = std::clamp(2 * retry_ms_, FIRST_RETRY_MS, LAST_RETRY_MS));
    } else {
        retry_ms_ = 0;
        tiles_.insert(key, new QImage(tile));
        update(place(key));
    }
    emit tile_read();
}

}  // namespace histoloom
