#include "panel.h"

#include <QCheckBox>
#include <QDesktopServices>
#include <QDialog>
#include <QFileDialog>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QListWidget>
#include <QPainter>
#include <QPainterPath>
#include <QProgressBar>
#include <QPushButton>
#include <QScrollArea>
#include <QSlider>
#include <QTreeWidget>
#include <QUrl>
#include <QVBoxLayout>

#include <algorithm>
#include <cmath>

namespace histoloom {

namespace {

constexpr int GALLERY_PX = 150, LARGE_PX = 768;
const QColor FLAG(255, 0, 160), NO_COLOR(217, 217, 217);

QPixmap swatch(const QColor &color) {
    QPixmap out(24, 16);
    out.fill(color);
    QPainter(&out).drawRect(0, 0, 23, 15);
    return out;
}

// The tile with its flagged cells outlined.
QPixmap picture_of(const SyntheticTile &tile, bool flags) {
    QPixmap out = QPixmap::fromImage(tile.picture);
    QPainter painter(&out);
    if (flags && !tile.flagged.isEmpty()) {
        QPainterPath outline;
        outline.addRegion(tile.flagged);
        painter.fillPath(outline, QColor(FLAG.red(), FLAG.green(), FLAG.blue(), 40));
        painter.setClipPath(outline);
        painter.strokePath(outline.simplified(), QPen(FLAG, 6));
    }
    if (flags && tile.flagged_whole) {
        painter.setClipping(false);
        painter.setPen(QPen(FLAG, 4, Qt::DashLine));
        painter.drawRect(out.rect().adjusted(2, 2, -3, -3));
    }
    return out;
}

QPushButton *button(const QString &text, const char *name, const QString &about) {
    auto *out = new QPushButton(text);
    out->setObjectName(name);
    out->setToolTip(about);
    return out;
}

QString about(const SyntheticTile &tile) {
    const QString reasons = tile.reasons.isEmpty() ? Panel::tr("No flags: not flagged is not verified.") : tile.reasons.join('\n');
    const QString calibrated = tile.calibrated ? QString() : Panel::tr("The flags are not calibrated for this model.\n");
    return Panel::tr("Synthetic tile, not tissue of a patient.\n") + calibrated + reasons;
}

}  // namespace

Panel::Panel(Session *session, QWidget *parent) : QWidget(parent), session_(session) {
    auto *column = new QVBoxLayout(this);
    status_ = new QLabel(tr("Nothing is running."));
    status_->setObjectName("status");
    status_->setWordWrap(true);
    column->addWidget(status_);
    column->addLayout(progress_row());
    column->addLayout(opacity_row());
    legend_ = new QTreeWidget;
    legend_->setObjectName("legend");
    legend_->setHeaderLabels({tr("Tissue class"), tr("Share")});
    legend_->setRootIsDecorated(false);
    legend_->setSelectionMode(QAbstractItemView::NoSelection);
    legend_->header()->setStretchLastSection(false);
    legend_->header()->setSectionResizeMode(0, QHeaderView::Stretch);
    legend_->header()->setSectionResizeMode(1, QHeaderView::ResizeToContents);
    column->addWidget(legend_, 1);
    column->addLayout(map_row());
    column->addWidget(tiles_ = tiles_box(), 1);
    tiles_->hide();
    connect(session_, &Session::progressed, this, &Panel::show_progress);
    connect(session_, &Session::ended, this, &Panel::show_end);
    connect(session_, &Session::map_changed, this, &Panel::show_legend);
    connect(session_, &Session::gallery_changed, this, &Panel::show_gallery);
}

QWidget *Panel::tiles_box() {
    auto *box = new QWidget;
    auto *column = new QVBoxLayout(box);
    column->setContentsMargins(0, 0, 0, 0);
    column->addLayout(gallery_title());
    gallery_ = new QListWidget;
    gallery_->setObjectName("gallery");
    gallery_->setViewMode(QListView::IconMode);
    gallery_->setResizeMode(QListView::Adjust);
    gallery_->setMovement(QListView::Static);
    gallery_->setIconSize(QSize(GALLERY_PX, GALLERY_PX));
    gallery_->setSpacing(4);
    column->addWidget(gallery_, 1);
    column->addLayout(tiles_row());
    connect(gallery_, &QListWidget::itemActivated, this, [this](QListWidgetItem *item) { enlarge(gallery_->row(item)); });
    return box;
}

QLayout *Panel::map_row() {
    auto *row = new QHBoxLayout;
    auto *region = button(tr("Draw region"), "region", tr("Draw around a part of the slide with the mouse; Cluster then takes that part"));
    auto *generate = button(tr("Generate from annotations..."), "generate", tr("A map and synthetic tiles of the classes that you annotated"));
    map_report_ = button(tr("Open report"), "map_report", tr("The map on one page, in your browser"));
    map_report_->setEnabled(false);
    connect(region, &QPushButton::clicked, this, &Panel::region_asked);
    connect(generate, &QPushButton::clicked, this, &Panel::generate_asked);
    connect(map_report_, &QPushButton::clicked, this, [this] { open_report(session_->map_report()); });
    for (auto *each : {region, generate, map_report_}) row->addWidget(each);
    return row;
}

QLayout *Panel::gallery_title() {
    auto *row = new QHBoxLayout;
    gallery_title_ = new QLabel;
    flags_ = new QCheckBox(tr("Flags"));
    flags_->setToolTip(tr("Outlined: cells that were flagged; a dashed frame: the tile as a whole"));
    flags_->setChecked(true);
    connect(flags_, &QCheckBox::toggled, this, &Panel::show_gallery);
    row->addWidget(gallery_title_, 1);
    row->addWidget(flags_);
    return row;
}

QLayout *Panel::tiles_row() {
    auto *row = new QHBoxLayout;
    auto *files = button(tr("Export..."), "export", tr("Tiles, label maps and manifest into a folder; flagged tiles apart"));
    tiles_report_ = button(tr("Open report"), "tiles_report", tr("The tiles on one page, in your browser"));
    connect(files, &QPushButton::clicked, this, &Panel::export_tiles);
    connect(tiles_report_, &QPushButton::clicked, this, [this] { open_report(session_->tiles_report()); });
    row->addStretch(1);
    row->addWidget(files);
    row->addWidget(tiles_report_);
    return row;
}

void Panel::open_report(const QString &page) {
    if (!QDesktopServices::openUrl(QUrl::fromLocalFile(page))) say(tr("No browser could be opened. The report is %1").arg(page));
}

void Panel::say(const QString &what) { status_->setText(what); }

QLayout *Panel::progress_row() {
    auto *row = new QHBoxLayout;
    bar_ = new QProgressBar;
    bar_->setObjectName("progress");
    bar_->setRange(0, 1000);
    bar_->setTextVisible(false);
    cancel_ = new QPushButton(tr("Cancel"));
    cancel_->setObjectName("cancel");
    cancel_->setEnabled(false);
    connect(cancel_, &QPushButton::clicked, session_, &Session::cancel);
    row->addWidget(bar_, 1);
    row->addWidget(cancel_);
    return row;
}

QLayout *Panel::opacity_row() {
    auto *row = new QHBoxLayout;
    opacity_ = new QSlider(Qt::Horizontal);
    opacity_->setObjectName("opacity");
    opacity_->setRange(0, 100);
    opacity_->setValue(50);
    auto *percent = new QLabel("50 %");
    percent->setMinimumWidth(percent->fontMetrics().horizontalAdvance("100 %"));
    connect(opacity_, &QSlider::valueChanged, this, [this, percent](int value) {
        percent->setText(QString("%1 %").arg(value));
        emit opacity_changed(opacity());
    });
    row->addWidget(new QLabel(tr("Overlay")));
    row->addWidget(opacity_, 1);
    row->addWidget(percent);
    return row;
}

double Panel::opacity() const { return opacity_->value() / 100.0; }

void Panel::set_opacity(double opacity) { opacity_->setValue(static_cast<int>(std::lround(100 * opacity))); }

void Panel::show_progress(const QString &stage, double fraction, double eta_s) {
    QString text = stage;
    if (fraction >= 0) text += QString(", %1 %").arg(std::lround(100 * fraction));
    if (eta_s >= 100) text += tr(", about %1 min left in this step").arg(std::ceil(eta_s / 60), 0, 'f', 0);
    else if (eta_s >= 0) text += tr(", about %1 s left in this step").arg(std::ceil(eta_s), 0, 'f', 0);
    say(text);
    bar_->setRange(0, fraction < 0 ? 0 : 1000);
    if (fraction >= 0) bar_->setValue(static_cast<int>(1000 * fraction));
    cancel_->setEnabled(true);
}

void Panel::show_end(const QString &what) {
    say(what);
    bar_->setRange(0, 1000);
    bar_->setValue(0);
    cancel_->setEnabled(false);
}

void Panel::show_legend() {
    legend_->clear();
    for (const TissueClass &c : session_->legend()) {
        auto *item = new QTreeWidgetItem(legend_, {c.name, QString("%1 %").arg(100 * c.share, 0, 'f', 1)});
        item->setIcon(0, swatch(c.color));
        item->setTextAlignment(1, Qt::AlignRight);
    }
    for (const WithoutCells &c : session_->without_cells()) {
        auto *item = new QTreeWidgetItem(legend_, {c.why.isEmpty() ? c.name : c.name + ": " + c.why, tr("no cells")});
        item->setIcon(0, swatch(NO_COLOR));
        item->setToolTip(0, item->text(0));
        for (const int column : {0, 1}) item->setForeground(column, palette().placeholderText());
    }
    map_report_->setEnabled(!session_->map_report().isEmpty());
}

void Panel::show_gallery() {
    gallery_->clear();
    int flagged = 0, number = 0;
    for (const SyntheticTile &tile : session_->gallery()) {
        number++;
        flagged += tile.reasons.isEmpty() ? 0 : 1;
        const QString name = tile.reasons.isEmpty() ? QString::number(number) : tr("%1, flagged").arg(number);
        const QPixmap small = picture_of(tile, flags_->isChecked()).scaled(GALLERY_PX, GALLERY_PX, Qt::KeepAspectRatio, Qt::SmoothTransformation);
        auto *item = new QListWidgetItem(small, name);
        item->setToolTip(about(tile) + tr("\nDouble-click to enlarge."));
        gallery_->addItem(item);
    }
    tiles_->setVisible(number > 0);
    tiles_report_->setEnabled(!session_->tiles_report().isEmpty());
    const int more = session_->tiles_not_shown();
    const QString rest = more > 0 ? tr("; %1 more in the files").arg(more) : QString();
    gallery_title_->setText(tr("Synthetic tiles: %1, flagged: %2").arg(number).arg(flagged) + rest);
}

void Panel::enlarge(int index) {
    if (index < 0 || index >= static_cast<int>(session_->gallery().size())) return;
    const SyntheticTile &tile = session_->gallery()[static_cast<size_t>(index)];
    auto *dialog = new QDialog(window());
    dialog->setObjectName("enlarged");
    dialog->setWindowTitle(tr("Synthetic tile %1").arg(index + 1));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    auto *picture = new QLabel;
    const QPixmap pixels = picture_of(tile, flags_->isChecked());
    const int times = std::max(1, LARGE_PX / pixels.width());
    picture->setPixmap(pixels.scaled(pixels.size() * times));
    auto *scroll = new QScrollArea;
    scroll->setWidget(picture);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setWidgetResizable(true);
    scroll->setMinimumSize(picture->pixmap().size().boundedTo(QSize(LARGE_PX, LARGE_PX)) + QSize(4, 4));
    auto *said = new QLabel(about(tile));
    said->setWordWrap(true);
    auto *column = new QVBoxLayout(dialog);
    column->addWidget(scroll, 1);
    column->addWidget(said);
    dialog->show();
}

void Panel::export_tiles() {
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Folder for the tiles"));
    if (!folder.isEmpty()) session_->export_tiles(folder);
}

}  // namespace histoloom
