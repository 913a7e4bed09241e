// A picture of a whole slide in a scene, read and drawn tile by tile. In: a reader of regions. Item coordinates are level-0 pixels. Tiles are
// read on a thread of their own at the power of two that suits the zoom; until one is there, a coarser one stands in. What could not be read is
// asked for again after a while.
#pragma once

#include <QCache>
#include <QGraphicsObject>
#include <QImage>
#include <QSet>
#include <QThreadPool>
#include <QTimer>

#include <atomic>
#include <functional>
#include <memory>

namespace histoloom {

class TiledItem : public QGraphicsObject {
    Q_OBJECT

public:
    using Reader = std::function<QImage(qint64 x, qint64 y, double downsample, int width, int height)>;
    enum class Pixels { Smooth, Crisp };  // when magnified

    TiledItem(qint64 width, qint64 height, Pixels pixels);
    ~TiledItem() override;

    // Shows something else; null shows nothing.
    void show(Reader reader);
    // Nothing is being read.
    bool idle() const { return pending_.isEmpty(); }

    struct Cost {
        std::atomic<qint64> reads{0}, read_ns{0}, paints{0}, paint_ns{0};
    };
    const Cost &cost() const { return *cost_; }
    void forget_cost();

    QRectF boundingRect() const override { return QRectF(0, 0, static_cast<qreal>(width_), static_cast<qreal>(height_)); }
    void paint(QPainter *painter, const QStyleOptionGraphicsItem *option, QWidget *widget) override;

signals:
    void tile_read();

private:
    struct Key {
        int level, column, row;
        bool operator==(const Key &o) const { return level == o.level && column == o.column && row == o.row; }
        friend size_t qHash(const Key &k, size_t seed) { return qHashMulti(seed, k.level, k.column, k.row); }
    };
    QRectF place(const Key &key) const;
    void draw(QPainter *painter, const QTransform &view, const Key &key);
    void request(const Key &key);
    void take(const Key &key, const QImage &tile, int generation);

    qint64 width_, height_;
    Pixels pixels_;
    int coarsest_ = 0;
    Reader reader_;
    int generation_ = 0;
    int wanted_level_ = 0;
    QCache<Key, QImage> tiles_;
    QSet<Key> pending_, failed_;
    QTimer retry_;
    int retry_ms_ = 0;
    std::shared_ptr<Cost> cost_ = std::make_shared<Cost>();
    QThreadPool pool_;
};

}  // namespace histoloom
